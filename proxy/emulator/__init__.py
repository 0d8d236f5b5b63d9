"""An Okta and an echo API, inside the process: for the demo, the tests and users' CI."""
