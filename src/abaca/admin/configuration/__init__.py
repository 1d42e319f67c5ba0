"""What is wrong with a configuration, told at once and before anything starts; and samples of it.

`given` reads what is set and where; `names` and `values` judge it by the options that there are
(`sections`); `plugins`, `files` and `check` look at what the values stand for. Nothing here changes
anything.
"""
