"""Arguments of the commands: each field is an option, `eval_contigs` is `--eval-contigs`."""
