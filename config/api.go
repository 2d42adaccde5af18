package config

import "net"

// API is where consents, restrictions and objections are written down over
// HTTP.
type API struct {
	Listen string `yaml:"listen"` // host:port
	Cert   string `yaml:"cert"`   // PEM; absent: in clear, on the loopback only
	Key    string `yaml:"key"`
	Tokens string `yaml:"tokens_file"` // lines of a policy's user and the SHA-256 of a token
}

// validate checks that tokens do not travel in clear.
func (a *API) validate(bad func(key, format string, args ...any)) {
	host, _, err := net.SplitHostPort(a.Listen)
	if err != nil {
		bad("api.listen", "%v", err)
	}
	if (a.Cert == "") != (a.Key == "") {
		bad("api.cert", "and api.key go together")
	}
	if ip := net.ParseIP(host); err == nil && a.Cert == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		bad("api.listen", "%s is not on the loopback: give api.cert and api.key", a.Listen)
	}
	if a.Tokens == "" {
		bad("api.tokens_file", "is missing: nobody could ask for anything")
	}
}
