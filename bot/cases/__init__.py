"""Cases (工单): drafts, numbers, statutory clocks, routing, store. Knows nothing of Rasa, HTTP or pages."""
