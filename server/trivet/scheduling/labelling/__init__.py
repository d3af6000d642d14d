"""Labels given at run time: a text's vector is compared with those of labels, or of examples.

One code for TextService, whose calls carry lists, and for the models `zero_shot` and `few_shot`,
whose requests carry tensors (`scheduler`).
"""
