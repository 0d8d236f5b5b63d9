"""What `okta-proxy check` looks at: a module a step. Pure functions judge what the network calls bring."""
