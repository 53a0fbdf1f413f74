"""Watch -> key -> queue -> reconcile; one module per reconciled kind; no rules of their own."""
