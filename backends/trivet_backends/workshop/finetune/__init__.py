"""`trivet finetune`: heads on a BERT checkpoint, trained, checked and published.

The way through: `data` reads files into `examples` (`tables` and `conll` by line, `fields` by
column), `split` parts and judges them, `encode` makes token ids of them, `features` computes a
frozen encoder's output once (`cache` bounds their folder), `heads` is the model, `plan` says which
rows a step takes, `loop` trains, `state` keeps what a resume needs, `metrics` scores, `picture`
draws, `publish` writes the checkpoint and has it built; `run` holds the thread, `command` is the
command line and `flags` its groups. `heads`, `features`, `tasks`, `state` and `loop` need torch.
"""
