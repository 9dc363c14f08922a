"""What understands: Rasa graph components and the models inside them. Python 3.10, Rasa's environment.

`text`, `sounds`, `vectors`, `linear`, `neighbours`, `models`, `reader` and `gate` are pure (scikit-learn and text
libraries, no Rasa) and tested in seconds; `components` wraps them for Rasa's graph; `channel` and `tracker_store`
let the service hand each turn its context, so that the engine keeps no state. Nothing in here imports anything else
of ours.
`text` is also used by the service: both must see the same characters.
"""
