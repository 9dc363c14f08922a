"""What must leave this machine: SMS, WeChat messages, pushes to departments.

A delivery is committed together with what it belongs to, then leased, sent and retried by a worker
(`bot.outbox.worker`); what cannot be sent ends as a dead letter that the desk shows.
"""
