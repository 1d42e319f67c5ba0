"""Configuration checks, all reported at once before anything starts; and the samples.

`given` reads what is set and where; `names` and `values` judge it by the options that there are
(`sections`); `plugins`, `files` and `check` look at what the values stand for. Nothing here changes
anything.
"""
