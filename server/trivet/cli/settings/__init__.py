"""What the flags come to: from the command line, the environment, a file and the defaults.

`sources` reads, `settled` decides who wins, `shown` prints. All of it is made of the tables in
`cli.flags`: a flag that is declared there has its variable and its line in the file.
"""
