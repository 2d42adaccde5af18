package injection

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// stacks tells whether a statement does not belong behind the one before it:
// that takes values, where an injection can stand, and this one changes the
// schema, rights or the session, runs code or copies. Scripts of migrations
// begin with what changes the schema.
func stacks(before, n *pg_query.Node) bool {
	return takesValues(before) && changesMore(n)
}

// takesValues tells whether a statement has conditions or values.
func takesValues(n *pg_query.Node) bool {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_SelectStmt:
		return v.SelectStmt.WhereClause != nil || v.SelectStmt.LimitCount != nil || v.SelectStmt.Op != pg_query.SetOperation_SETOP_NONE
	case *pg_query.Node_UpdateStmt, *pg_query.Node_InsertStmt:
		return true
	case *pg_query.Node_DeleteStmt:
		return v.DeleteStmt.WhereClause != nil
	default:
		return false
	}
}

func changesMore(n *pg_query.Node) bool {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_DropStmt, *pg_query.Node_DropdbStmt, *pg_query.Node_DropRoleStmt, *pg_query.Node_DropOwnedStmt,
		*pg_query.Node_TruncateStmt, *pg_query.Node_CopyStmt, *pg_query.Node_DoStmt, *pg_query.Node_GrantStmt, *pg_query.Node_GrantRoleStmt,
		*pg_query.Node_CreateRoleStmt, *pg_query.Node_AlterRoleStmt, *pg_query.Node_AlterRoleSetStmt, *pg_query.Node_AlterSystemStmt, *pg_query.Node_AlterDatabaseSetStmt,
		*pg_query.Node_CreateFunctionStmt, *pg_query.Node_CreateExtensionStmt, *pg_query.Node_LoadStmt, *pg_query.Node_CreatePlangStmt,
		*pg_query.Node_CreateUserMappingStmt, *pg_query.Node_CreateForeignServerStmt, *pg_query.Node_CreateSubscriptionStmt:
		return true
	case *pg_query.Node_CreateStmt:
		return v.CreateStmt.Relation.GetRelpersistence() != "t"
	case *pg_query.Node_AlterTableStmt:
		return true
	case *pg_query.Node_VariableSetStmt:
		return v.VariableSetStmt.Name == "role" || v.VariableSetStmt.Name == "session_authorization"
	default:
		return false
	}
}

// manyComments are more empty comments than anybody writes; the lexer's time
// grows with the square of their number.
const manyComments = 200

// hidesByComments tells whether comments do to a text what nobody writes them
// for: the last cuts off what looks like the rest of a statement, or several
// empty ones stand in place of spaces.
func hidesByComments(sql string, stmts []parse.Statement) bool {
	if len(stmts) == 0 || !strings.Contains(sql, "--") && !strings.Contains(sql, "/*") {
		return false
	}
	if strings.Count(sql, "/**/") > manyComments {
		return true
	}
	scan, err := pg_query.Scan(sql)
	if err != nil || len(scan.Tokens) < 2 {
		return false
	}
	empty := 0
	for i, t := range scan.Tokens {
		if t.Token == pg_query.Token_C_COMMENT && sql[t.Start:t.End] == "/**/" && i > 0 && scan.Tokens[i-1].End == t.Start {
			empty++
		}
	}
	last, before := scan.Tokens[len(scan.Tokens)-1], scan.Tokens[len(scan.Tokens)-2]
	between := sql[before.End:last.Start]
	switch last.Token {
	case pg_query.Token_SQL_COMMENT:
		return empty > 1 || !strings.Contains(between, "\n") && cutsOff(sql[last.Start+2:last.End])
	case pg_query.Token_C_COMMENT:
		return empty > 1 || between == "" && cutsOff(strings.TrimSuffix(sql[last.Start+2:last.End], "*/"))
	default:
		return empty > 1
	}
}

// cutsOff tells whether a comment holds the rest of a statement, or nothing, as
// where an injection ends.
func cutsOff(comment string) bool {
	text := strings.TrimSpace(comment)
	if text == "" || text == "-" || text == "+" {
		return true
	}
	return strings.HasPrefix(text, "'") || strings.HasPrefix(text, "%'") || strings.HasPrefix(text, ")") || strings.HasPrefix(text, ";") ||
		loneQuotes(text)%2 == 1 || continues(text)
}

// loneQuotes counts the quotes that are no apostrophes within a word.
func loneQuotes(text string) (n int) {
	letter := func(i int) bool {
		return i >= 0 && i < len(text) && (text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z' || text[i] >= 0x80)
	}
	for i := range len(text) {
		if text[i] == '\'' && !(letter(i-1) && letter(i+1)) {
			n++
		}
	}
	return n
}

// continues tells whether a comment reads on as a query: behind a condition it is
// SQL, and there is a value or an order in it, as there is not in prose.
func continues(text string) bool {
	scan, err := pg_query.Scan(text)
	if err != nil || len(scan.Tokens) < 2 || !slices.Contains(furtherOn, scan.Tokens[0].Token) {
		return false
	}
	values := slices.ContainsFunc(scan.Tokens[1:], func(t *pg_query.ScanToken) bool { return slices.Contains(ofQueries, t.Token) })
	return values && (scan.Tokens[0].Token == pg_query.Token_ASCII_44 || reads("SELECT FROM t WHERE true "+text))
}

func reads(sql string) bool {
	_, err := parse.Parse(sql)
	return err == nil
}

// furtherOn are the words by which a query goes on behind a condition.
var furtherOn = []pg_query.Token{
	pg_query.Token_AND, pg_query.Token_OR, pg_query.Token_ORDER, pg_query.Token_GROUP_P, pg_query.Token_LIMIT, pg_query.Token_OFFSET,
	pg_query.Token_UNION, pg_query.Token_HAVING, pg_query.Token_ASCII_44,
}

// ofQueries are words and signs that are in queries rather than in prose.
var ofQueries = []pg_query.Token{
	pg_query.Token_ICONST, pg_query.Token_SCONST, pg_query.Token_PARAM, pg_query.Token_ASCII_61, pg_query.Token_ASCII_60, pg_query.Token_ASCII_62,
	pg_query.Token_BY, pg_query.Token_LIKE, pg_query.Token_IS,
}
