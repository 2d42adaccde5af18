package rewrite

import (
	"fmt"
	"slices"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// Session gives a new session of a caller whose search_path is written so, as
// SET search_path would take it; "" for the server's default.
func (e *Engine) Session(a *policy.Access, searchPath string) (Session, error) {
	s := Session{Access: a}
	names := []string{"$user", "public"}
	if searchPath != "" {
		n, err := parse.ParseOne("SET search_path = " + searchPath)
		values, ok := constants(n.GetVariableSetStmt().GetArgs())
		if err != nil || !ok || slices.Contains(values, "") {
			return s, fmt.Errorf("search_path %q is not a list of schemas", searchPath)
		}
		names = values
	}
	s.Path = e.path(s, names)
	return s, nil
}
