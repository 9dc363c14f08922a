"""Staff (工作人员): accounts and log-in, roles, the duty roster (值班表). Below conversations and cases, above storage."""
