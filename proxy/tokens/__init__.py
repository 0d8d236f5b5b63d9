"""Where tokens come from: fetched from the token endpoint, refreshed ahead, kept in memory only."""
