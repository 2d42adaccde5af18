package rewrite

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// commandName says what a statement is in the words of its command tag, or
// near them.
func commandName(n *pg_query.Node) string {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_TransactionStmt:
		return transactionName(v.TransactionStmt.Kind)
	case *pg_query.Node_VariableSetStmt:
		if k := v.VariableSetStmt.Kind; k == pg_query.VariableSetKind_VAR_RESET || k == pg_query.VariableSetKind_VAR_RESET_ALL {
			return "RESET"
		}
		return "SET"
	case *pg_query.Node_VariableShowStmt:
		return "SHOW"
	case *pg_query.Node_DeclareCursorStmt:
		return "DECLARE CURSOR"
	case *pg_query.Node_ClosePortalStmt:
		return "CLOSE CURSOR"
	case *pg_query.Node_ConstraintsSetStmt:
		return "SET CONSTRAINTS"
	case *pg_query.Node_DropStmt:
		return "DROP " + objectName(v.DropStmt.RemoveType)
	case *pg_query.Node_RenameStmt:
		return "ALTER " + objectName(v.RenameStmt.RenameType)
	case *pg_query.Node_VacuumStmt:
		if !v.VacuumStmt.IsVacuumcmd {
			return "ANALYZE"
		}
		return "VACUUM"
	case nil:
		return "an empty statement"
	default:
		name := strings.TrimSuffix(string(n.ProtoReflect().WhichOneof(n.ProtoReflect().Descriptor().Oneofs().Get(0)).Name()), "_stmt")
		if command, ok := oddNames[name]; ok {
			return command
		}
		return strings.ToUpper(strings.ReplaceAll(name, "_", " "))
	}
}

// oddNames are the nodes that are not called as their command is.
var oddNames = map[string]string{
	"create": "CREATE TABLE", "view": "CREATE VIEW", "index": "CREATE INDEX", "rule": "CREATE RULE",
	"create_trig": "CREATE TRIGGER", "create_stats": "CREATE STATISTICS", "sec_label": "SECURITY LABEL",
	"check_point": "CHECKPOINT", "refresh_mat_view": "REFRESH MATERIALIZED VIEW", "create_seq": "CREATE SEQUENCE",
	"alter_seq": "ALTER SEQUENCE", "createdb": "CREATE DATABASE", "dropdb": "DROP DATABASE", "define": "CREATE",
	"composite_type": "CREATE TYPE", "create_enum": "CREATE TYPE", "create_range": "CREATE TYPE", "alter_enum": "ALTER TYPE",
	"create_plang": "CREATE LANGUAGE", "create_op_class": "CREATE OPERATOR CLASS", "alter_table_move_all": "ALTER TABLE",
	"grant_role": "GRANT", "alter_object_schema": "ALTER", "alter_owner": "ALTER", "function_params": "FUNCTION",
}

func objectName(t pg_query.ObjectType) string {
	return strings.ReplaceAll(strings.TrimPrefix(t.String(), "OBJECT_"), "_", " ")
}

// transactionName gives the command tag of a transaction statement.
func transactionName(k pg_query.TransactionStmtKind) string {
	name := strings.TrimPrefix(k.String(), "TRANS_STMT_")
	switch k {
	case pg_query.TransactionStmtKind_TRANS_STMT_START:
		return "START TRANSACTION"
	case pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		return "ROLLBACK"
	default:
		return strings.ReplaceAll(name, "_", " ")
	}
}
