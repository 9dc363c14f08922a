"""The Jilin 12315 assistant: what understands (`bot.engine`) and what serves (everything else).

`bot.engine` runs in Rasa's environment (Python 3.10) and imports nothing else of ours; every other
package runs in the service environment (Python >= 3.11) and never imports `rasa`.
"""
