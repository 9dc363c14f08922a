"""Conversations: the message log, who owns a conversation (bot or person), turns, and their delivery.

`log` stores and reads; `turns` takes one stored message to its replies; `engine` talks to Rasa on loopback;
`compose` makes the words out of what the engine decided; `emergency` runs before everything else.
Nothing here knows a channel's payload or a page.
"""
