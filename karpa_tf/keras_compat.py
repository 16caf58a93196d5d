"""Where Keras has no public name for what is needed; each with the versions that it was tested on."""


def variable_index(optimizer, variable):
    """Returns the place of a variable, or of one replica's copy of it, in the list that `optimizer.build` was given.

    Keras' own guide to writing optimizers uses this name (3.12 to 3.15); there is no public one.
    """
    return optimizer._get_variable_index(variable)
