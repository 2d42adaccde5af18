package resolve

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// nodeName says what a node is, in the grammar's words.
func nodeName(n *pg_query.Node) string {
	if n.GetNode() == nil {
		return "an empty node"
	}
	name := string(n.ProtoReflect().WhichOneof(n.ProtoReflect().Descriptor().Oneofs().Get(0)).Name())
	return strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(name, "_stmt"), "_", " "))
}
