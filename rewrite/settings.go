package rewrite

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/policy"
)

// The settings by which a session says who asks, and for what.
const (
	PurposeSetting = "pgveil.purpose"  // what it is done for
	UserSetting    = "pgveil.end_user" // who is behind a shared login; "user" alone is a reserved word
	TokenSetting   = "pgveil.token"    // a signed token that names the end user, and perhaps the purpose
	TicketSetting  = "pgveil.ticket"   // what it is about, for the access log
)

// askerSettings are those settings.
var askerSettings = []string{PurposeSetting, UserSetting, TokenSetting, TicketSetting}

// openSettings are the run-time parameters that callers with restrictions may
// change: they decide how a result looks or how long it may take, not what it
// holds or what a name or a literal means.
var openSettings = []string{
	"application_name", "bytea_output", "client_min_messages", "constraint_exclusion", "cursor_tuple_fraction",
	"datestyle", "deadlock_timeout", "default_transaction_deferrable", "default_transaction_isolation",
	"default_transaction_read_only", "effective_cache_size", "enable_bitmapscan", "enable_hashagg",
	"enable_hashjoin", "enable_indexonlyscan", "enable_indexscan", "enable_material", "enable_mergejoin",
	"enable_nestloop", "enable_seqscan", "enable_sort", "extra_float_digits", "from_collapse_limit", "geqo",
	"gin_fuzzy_search_limit", "idle_in_transaction_session_timeout", "idle_session_timeout", "intervalstyle",
	"jit", "join_collapse_limit", "lc_monetary", "lc_numeric", "lc_time", "lock_timeout",
	"max_parallel_workers_per_gather", "plan_cache_mode", "quote_all_identifiers", "random_page_cost",
	"row_security", "seq_page_cost", "statement_timeout", "synchronous_commit", "synchronize_seqscans",
	"tcp_keepalives_idle", "timezone", "transaction_deferrable", "transaction_isolation",
	"transaction_read_only", "transaction_timeout", "work_mem", "xmlbinary", "xmloption",
	"default_text_search_config", "escape_string_warning", "array_nulls", "temp_buffers",
}

// followed tells whether a setting changes what names mean or who asks: it is
// followed, and asked of the server when in doubt.
func followed(name string) bool { return name == "search_path" || slices.Contains(askerSettings, name) }

// safeEncodings are the client encodings in which no byte of a multi-byte
// character can be taken for ASCII, so that the parser here and the one in the
// server see the same text.
var safeEncodings = []string{"utf8", "unicode", "sqlascii"}

// set decides SET and RESET.
func (c *planner) set(v *pg_query.VariableSetStmt) error {
	name := strings.ToLower(v.Name)
	effect := Tunes
	switch {
	case v.Kind == pg_query.VariableSetKind_VAR_RESET_ALL:
		effect |= Settings
	case v.Kind == pg_query.VariableSetKind_VAR_SET_MULTI:
		if name != "transaction" && name != "session characteristics" {
			return refuseSetting(name)
		}
	case followed(name):
		effect |= Settings
		if err := c.setAsker(name, v); err != nil {
			return err
		}
	case v.Kind == pg_query.VariableSetKind_VAR_RESET || v.Kind == pg_query.VariableSetKind_VAR_SET_DEFAULT:
		if name == "role" || name == "session_authorization" {
			effect |= Settings
		} else if strings.HasPrefix(name, "pgveil.") {
			return refuseSetting(name)
		}
	default:
		if err := checkSetting(name, v.Args); err != nil {
			return err
		}
		if name == "role" {
			effect |= Roles
		}
	}
	step := Step{Command: commandName(&pg_query.Node{Node: &pg_query.Node_VariableSetStmt{VariableSetStmt: v}}), Effect: effect}
	if slices.Contains(askerSettings, name) {
		step.Setting = name
		if values, ok := constants(v.Args); ok && len(values) == 1 {
			step.Value = values[0]
		}
	}
	c.plan.Steps = append(c.plan.Steps, step)
	return nil
}

// setAsker refuses who asks, and for what, when it is neither written out nor a
// parameter, which is looked at when the server has it.
func (c *planner) setAsker(name string, v *pg_query.VariableSetStmt) error {
	if name == "search_path" || v.Kind != pg_query.VariableSetKind_VAR_SET_VALUE {
		return nil
	}
	values, ok := constants(v.Args)
	if !ok && len(v.Args) == 1 && v.Args[0].GetParamRef() != nil || ok && len(values) == 1 {
		return nil
	}
	return refuseSetting(name)
}

// checkSetting decides a new value for a run-time parameter.
func checkSetting(name string, args []*pg_query.Node) error {
	values, ok := constants(args)
	switch {
	case slices.Contains(openSettings, name):
		return nil
	case name == "client_encoding" || name == "names":
		if ok && len(values) == 1 && SafeEncoding(values[0]) {
			return nil
		}
		return refuse("use UTF8", "this client encoding is not open to callers with restrictions")
	case name == "standard_conforming_strings" || name == "check_function_bodies":
		if ok && len(values) == 1 && isOn(values[0]) {
			return nil
		}
	case name == "role":
		if ok && len(values) == 1 && values[0] == "none" {
			return nil
		}
	}
	return refuseSetting(name)
}

// CheckStartup decides a run-time parameter that a caller with restrictions
// asks for at startup.
func CheckStartup(name, value string) error {
	name = strings.ToLower(name)
	if followed(name) {
		return nil // asked of the server afterwards, like any other change
	}
	return checkSetting(name, []*pg_query.Node{pg_query.MakeAConstStrNode(value, -1)})
}

func refuseSetting(name string) *Refusal {
	return refuse("ask for it in the server's configuration, or for a role with unrestricted access",
		"the setting %q may not be changed by callers with restrictions", name)
}

// readableSetting decides SHOW and current_setting.
func readableSetting(name string) error {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "pgveil.") && (name == TokenSetting || !slices.Contains(askerSettings, name)) {
		return refuse("", "the setting %q may not be read by callers with restrictions", name)
	}
	return nil
}

// SafeEncoding tells whether statements in a client encoding read the same
// here and in the server.
func SafeEncoding(name string) bool { return slices.Contains(safeEncodings, encodingKey(name)) }

func encodingKey(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

func isOn(s string) bool {
	return slices.Contains([]string{"on", "true", "yes", "1"}, strings.ToLower(s))
}

// constants gives the arguments of SET as text.
func constants(args []*pg_query.Node) ([]string, bool) {
	var values []string
	for _, a := range args {
		c := a.GetAConst()
		switch {
		case c == nil:
			return nil, false
		case c.GetSval() != nil:
			values = append(values, c.GetSval().Sval)
		case c.GetIval() != nil && c.GetIval().Ival == 1:
			values = append(values, "1")
		case c.GetBoolval() != nil && c.GetBoolval().Boolval:
			values = append(values, "true")
		default:
			values = append(values, "")
		}
	}
	return values, true
}

// RefuseAccess turns a policy's answer to who is asking into a refusal.
func RefuseAccess(err error) error {
	var purpose *policy.PurposeError
	if errors.As(err, &purpose) {
		hint := "set pgveil.purpose to one of the purposes named"
		if purpose.Elevate {
			hint = fmt.Sprintf("ask for it: PRIVACY ELEVATE TO %s FOR 30m BECAUSE 'the reason'", purpose.Purpose)
		}
		return &Refusal{Code: codePrivilege, Message: purpose.Error(), Hint: hint}
	}
	return &Refusal{Code: codePrivilege, Message: err.Error()}
}
