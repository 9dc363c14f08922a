"""`hotline eval`: sample questions put to an instance through the public API, and scored.

Flow: `samples` (files → questions) → `asking` (questions → replies) → `scoring` (replies → marks of a row) →
`metrics` (marks → shares) → `printing`, `page` (what people read) and `floors` (what must not fall).
`command.run` ties them together. The format of the files and the rules of scoring are those of
`shared/eval/README.md`.
"""
