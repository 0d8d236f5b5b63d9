"""What the contenders are called, in results and on the page."""

OURS = "okta-proxy"
AT_INFO = "okta-proxy at info"
WITH_DPOP = "okta-proxy with DPoP"
ENVOY = "Envoy"
NGINX = "nginx"
BARE = "bare imports"
