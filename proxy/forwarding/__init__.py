"""How a request travels: listener, guard, headers, upstream connections, and back."""
