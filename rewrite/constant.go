package rewrite

import (
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// foldIntegers writes an operand '5'::int, as the attributes of users come into
// row filters, as the constant that it is: the server need not look for the
// type. Only operands are taken, since as a key of ORDER BY or GROUP BY a bare
// number means a column.
func foldIntegers(m proto.Message) {
	parse.Walk(m, func(m proto.Message) bool {
		if e, ok := m.(*pg_query.A_Expr); ok {
			foldInteger(e.Lexpr)
			foldInteger(e.Rexpr)
		}
		return true
	})
}

func foldInteger(n *pg_query.Node) {
	cast := n.GetTypeCast()
	text := cast.GetArg().GetAConst().GetSval().GetSval()
	v, err := strconv.ParseUint(text, 10, 31)
	integer := &pg_query.TypeName{Names: []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode("int4")}, Typemod: -1}
	if err != nil || strconv.FormatUint(v, 10) != text || !parse.Equal(cast.TypeName, integer) {
		return
	}
	n.Node = pg_query.MakeAConstIntNode(int64(v), -1).Node
}
