"""Image classification, GANs and masked language models on Keras 3 and TensorFlow."""
