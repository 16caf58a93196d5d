/* Runs SavedModels by TensorFlow's C API, as a program without Python would.

   run_model (FOLDER ([-i TENSOR DTYPE DIMENSIONS FILE]... [-o TENSOR]... -r)... -m)...

   TENSOR is an op's name and the number of its output, as in serving_default_images:0; DTYPE the number of TensorFlow's
   data type; DIMENSIONS are divided by commas. FILE holds the numbers as they lie in memory, or, of a string tensor,
   each string behind its length, eight bytes in the order of the machine. Every output is printed as a line with its
   type and dimensions, and lines with one value each; strings are printed in hexadecimal. -r runs what was named since
   the last; -m ends a model. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

#define MOST 16

static TF_Status* status;

static void check(const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", what, TF_Message(status));
  exit(1);
}

static TF_Output find(TF_Graph* graph, const char* tensor) {
  char name[256];
  snprintf(name, sizeof name, "%s", tensor);
  char* colon = strrchr(name, ':');
  if (colon) *colon = 0;
  TF_Output found = {TF_GraphOperationByName(graph, name), colon ? atoi(colon + 1) : 0};
  if (!found.oper) {
    fprintf(stderr, "there is no op %s\n", name);
    exit(1);
  }
  return found;
}

static TF_Tensor* read_tensor(TF_DataType type, const char* dimensions, const char* path) {
  int64_t dims[MOST], elements = 1;
  int rank = 0;
  for (const char* rest = dimensions; *rest; rest += *rest == ',') {
    char* end;
    dims[rank] = strtoll(rest, &end, 10);
    elements *= dims[rank++];
    rest = end;
  }
  size_t element = type == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(type);
  TF_Tensor* tensor = TF_AllocateTensor(type, dims, rank, element * elements);
  FILE* file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  if (type != TF_STRING) {
    if (fread(TF_TensorData(tensor), element, elements, file) != (size_t)elements) exit(1);
  } else {
    TF_TString* strings = TF_TensorData(tensor);
    for (int64_t i = 0; i < elements; ++i) {
      uint64_t length;
      if (fread(&length, sizeof length, 1, file) != 1) exit(1);
      char* bytes = malloc(length + 1);
      if (fread(bytes, 1, length, file) != length) exit(1);
      TF_StringInit(&strings[i]);
      TF_StringCopy(&strings[i], bytes, length);
      free(bytes);
    }
  }
  fclose(file);
  return tensor;
}

static void print_tensor(TF_Tensor* tensor) {
  int64_t elements = 1;
  printf("%d", TF_TensorType(tensor));
  for (int i = 0; i < TF_NumDims(tensor); ++i) {
    printf(" %lld", (long long)TF_Dim(tensor, i));
    elements *= TF_Dim(tensor, i);
  }
  printf("\n");
  void* data = TF_TensorData(tensor);
  for (int64_t i = 0; i < elements; ++i) {
    switch (TF_TensorType(tensor)) {
      case TF_FLOAT: printf("%.9g\n", ((float*)data)[i]); break;
      case TF_UINT8: printf("%d\n", ((uint8_t*)data)[i]); break;
      case TF_INT32: printf("%d\n", ((int32_t*)data)[i]); break;
      case TF_STRING: {
        const TF_TString* text = (TF_TString*)data + i;
        const unsigned char* bytes = (const unsigned char*)TF_StringGetDataPointer(text);
        for (size_t j = 0; j < TF_StringGetSize(text); ++j) printf("%02x", bytes[j]);
        printf("\n");
        break;
      }
      default: fprintf(stderr, "type %d is not printed\n", TF_TensorType(tensor)); exit(1);
    }
  }
}

/* Runs what the words up to -r ask for, prints the answers and returns the words that are left. */
static char** run(TF_Session* session, TF_Graph* graph, char** words) {
  TF_Output inputs[MOST], outputs[MOST];
  TF_Tensor *given[MOST], *answers[MOST] = {0};
  int input_count = 0, output_count = 0;
  while (strcmp(*words, "-r")) {
    if (!strcmp(*words, "-i")) {
      inputs[input_count] = find(graph, words[1]);
      given[input_count++] = read_tensor(atoi(words[2]), words[3], words[4]);
      words += 5;
    } else {
      outputs[output_count++] = find(graph, words[1]);
      words += 2;
    }
  }
  TF_SessionRun(session, NULL, inputs, given, input_count, outputs, answers, output_count, NULL, 0, NULL, status);
  check("running");
  for (int i = 0; i < output_count; ++i) print_tensor(answers[i]);
  return words + 1;
}

/* Loads a model, runs it as the words up to -m ask, and returns the words that are left. */
static char** run_model(char** words) {
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, words[0], tags, 1, graph, NULL, status);
  check("loading");
  for (++words; strcmp(*words, "-m");) words = run(session, graph, words);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  return words + 1;
}

int main(int count, char** words) {
  status = TF_NewStatus();
  for (char** rest = words + 1; rest < words + count;) rest = run_model(rest);
  TF_DeleteStatus(status);
  return 0;
}
