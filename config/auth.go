package config

import "slices"

// Where the verifiers of scram are.
const (
	OfFile           = "file"
	OfServer         = "server"
	OfFileThenServer = "file-then-server" // the server is asked for those whom the file does not name
)

// complete says what follows from what the file says.
func (a *Auth) complete() {
	if a.Rules == nil && a.Method == "" {
		a.Method = "scram"
	}
	switch {
	case a.Verifiers != "":
	case a.Users != "":
		a.Verifiers = OfFile
	default:
		a.Verifiers = OfServer
	}
}

// validate checks what auth says by itself.
func (a *Auth) validate(bad func(key, format string, args ...any)) {
	if a.Method != "" && !slices.Contains([]string{"scram", "passthrough", "trust"}, a.Method) {
		bad("auth.method", "%q is not one of scram, passthrough, trust", a.Method)
	}
	switch a.Verifiers {
	case "":
	case OfServer:
		if a.Users != "" {
			bad("auth.users", "is not read while auth.verifiers is server")
		}
	case OfFile, OfFileThenServer:
		if a.Users == "" {
			bad("auth.users", "is missing: auth.verifiers is %s", a.Verifiers)
		}
	default:
		bad("auth.verifiers", "%q is not one of file, server, file-then-server", a.Verifiers)
	}
	if a.Keep < 0 {
		bad("auth.keep", "must not be negative")
	}
}
