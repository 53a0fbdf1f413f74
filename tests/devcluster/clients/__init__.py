"""What real clients ask, captured once, and how both servers answer it."""
