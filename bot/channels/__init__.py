"""Doors: one module a channel. A channel verifies, limits and translates a payload, and hands it to
`bot.conversations`; `app` puts them together into the public gateway, `actions_app` serves the engine.
"""
