"""Who is asking? Accounts, tokens, sessions."""
