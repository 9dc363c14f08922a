"""Cases (工单): drafts, numbers, statutory clocks, routing and the store. Knows nothing of Rasa, HTTP or pages."""
