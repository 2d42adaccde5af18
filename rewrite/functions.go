package rewrite

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// openFunctions are PostgreSQL's own functions that are not immutable and yet
// open to callers with restrictions. An immutable one computes from its
// arguments, which are masked already, so every one of those is open. What is
// not listed here is closed, because it
//   - runs a query that is handed to it as text, and so is never rewritten:
//     query_to_xml and kin, table_to_xml, cursor_to_xml, ts_stat, ts_rewrite(query, text);
//   - reads or writes files, large objects, the log, the configuration: pg_read_file,
//     pg_ls_dir, lo_*, pg_rotate_logfile, pg_reload_conf;
//   - tells of statistics, sizes or other sessions: pg_stat_get_*, pg_relation_size,
//     pg_blocking_pids, pg_sequence_last_value;
//   - carries data to somewhere else: pg_notify, setval, dblink;
//   - acts on the server or on other sessions: pg_terminate_backend, pg_switch_wal, …;
//   - came with a newer server, and nobody has looked at it.
var openFunctions = strings.Fields(`
	aclexplode age array_agg array_to_json array_to_string clock_timestamp col_description concat
	concat_ws convert convert_from convert_to current_database current_schema current_schemas
	current_user currval date date_bin date_part date_trunc enum_first enum_last enum_range extract
	format format_type gen_random_uuid generate_series get_current_ts_config getdatabaseencoding
	getpgusername has_any_column_privilege has_column_privilege has_database_privilege
	has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
	has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege
	has_table_privilege has_tablespace_privilege has_type_privilege inet_client_addr
	inet_client_port inet_server_addr inet_server_port isfinite json_agg json_agg_strict
	json_build_array json_build_object json_object_agg json_object_agg_strict json_object_agg_unique
	json_object_agg_unique_strict json_populate_record json_populate_recordset json_to_record
	json_to_recordset json_to_tsvector jsonb_agg jsonb_agg_strict jsonb_build_array
	jsonb_build_object jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique
	jsonb_object_agg_unique_strict jsonb_path_exists_tz jsonb_path_match_tz
	jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
	jsonb_populate_record_valid jsonb_populate_recordset jsonb_to_record jsonb_to_recordset
	jsonb_to_tsvector lastval length make_timestamptz mode money nextval now numeric obj_description
	oidvectortypes overlaps pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock
	pg_advisory_unlock_all pg_advisory_unlock_shared pg_advisory_xact_lock
	pg_advisory_xact_lock_shared pg_backend_pid pg_char_to_encoding pg_client_encoding
	pg_collation_for pg_collation_is_visible pg_column_compression pg_column_is_updatable
	pg_column_size pg_conf_load_time pg_conversion_is_visible pg_describe_object
	pg_encoding_to_char pg_function_is_visible pg_get_constraintdef pg_get_expr
	pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments
	pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef
	pg_get_keywords pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef
	pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef pg_get_statisticsobjdef_columns
	pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_has_role pg_identify_object
	pg_index_column_has_property pg_index_has_property pg_indexam_has_property pg_input_error_info
	pg_input_is_valid pg_is_in_recovery pg_is_other_temp_schema pg_jit_available
	pg_listening_channels pg_my_temp_schema pg_opclass_is_visible pg_operator_is_visible
	pg_opfamily_is_visible pg_options_to_table pg_partition_ancestors pg_partition_root
	pg_partition_tree pg_postmaster_start_time pg_relation_is_publishable pg_relation_is_updatable
	pg_sequence_parameters pg_show_all_settings pg_sleep pg_sleep_for pg_sleep_until
	pg_statistics_obj_is_visible pg_table_is_visible pg_tablespace_location pg_timezone_abbrevs pg_timezone_names
	pg_trigger_depth pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
	pg_try_advisory_xact_lock_shared pg_ts_config_is_visible pg_ts_dict_is_visible
	pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof
	phraseto_tsquery plainto_tsquery quote_literal quote_nullable random random_normal regclass
	row_security_active row_to_json session_user setseed shobj_description statement_timestamp
	string_agg time timeofday timestamp timestamptz timetz timezone to_char to_date to_json to_jsonb
	to_number to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc
	to_regprocedure to_regrole to_regtype to_regtypemod to_timestamp to_tsquery to_tsvector
	transaction_timestamp ts_debug ts_headline ts_match_tq ts_match_tt ts_parse ts_token_type
	txid_current txid_current_if_assigned pg_current_xact_id pg_current_xact_id_if_assigned
	uuidv4 uuidv7 version websearch_to_tsquery xml xml_is_well_formed`)

// openExtensions compute from their arguments only, as PostgreSQL's own types
// and functions do.
var openExtensions = []string{
	"btree_gin", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "hstore", "intarray", "isn", "ltree",
	"pg_trgm", "seg", "unaccent", "uuid-ossp", "vector",
}

// functions decides every function and operator that a query calls.
func (c *planner) functions(w *work) error {
	q := w.query
	for _, f := range q.Funcs {
		if sizeUnknown(f) {
			continue
		}
		for _, found := range f.Found {
			if !c.openFunction(found) {
				return refuse("ask the policy's owner to name it under functions",
					"function %s.%s is not open to callers with restrictions", found.Schema, found.Name)
			}
			// What a function of the schema's own says may hold what it reads.
			c.plan.Governed = c.plan.Governed || !catalog.SystemSchema(found.Schema)
		}
		if err := c.guarded(f, q); err != nil {
			return err
		}
	}
	for _, op := range q.Operators {
		if r := c.closedOperator(op); r != nil {
			return r
		}
	}
	return nil
}

// closedOperator refuses an operator's name where one of those that it can mean
// is not open.
func (c *planner) closedOperator(name string) *Refusal {
	for _, o := range c.engine.Catalog.Operators(name) {
		if o.Schema != "pg_catalog" && !slices.Contains(openExtensions, o.Extension) && !c.session.Access.Function(o.Schema, name, o.Extension) {
			return refuse("ask the policy's owner to name it, or its extension, under functions",
				"operator %s.%s is not open to callers with restrictions", o.Schema, name)
		}
	}
	return nil
}

// sizeFunctions tell how much there is of what the caller may not see. Tools
// that list tables ask for sizes as a matter of course: they get NULL.
var sizeFunctions = []string{
	"pg_database_size", "pg_indexes_size", "pg_relation_size", "pg_table_size", "pg_tablespace_size", "pg_total_relation_size",
}

// sizeUnknown turns a call of a size function into one that gives NULL.
func sizeUnknown(f resolve.Func) bool {
	other := slices.ContainsFunc(f.Found, func(c catalog.Func) bool { return c.Schema != "pg_catalog" })
	if len(f.Found) == 0 || other || !slices.Contains(sizeFunctions, f.Name) {
		return false
	}
	f.Call.Funcname = []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode("int8")}
	null := &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}
	f.Call.Args = []*pg_query.Node{{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{
		Arg: null, TypeName: &pg_query.TypeName{Names: []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode("int4")}, Typemod: -1},
	}}}}
	return true
}

func (c *planner) openFunction(f catalog.Func) bool {
	if f.Schema == "pg_catalog" {
		return f.Volatility == 'i' || slices.Contains(openFunctions, f.Name) ||
			f.Name == "set_config" || f.Name == "current_setting"
	}
	if f.Schema == "information_schema" {
		return f.Volatility == 'i'
	}
	return slices.Contains(openExtensions, f.Extension) || c.session.Access.Function(f.Schema, f.Name, f.Extension)
}

// listedSetting tells whether an argument is a name out of pg_settings, which
// lists the server's own settings and none of pgveil's.
func listedSetting(arg *pg_query.Node, q *resolve.Query) bool {
	fields := arg.GetColumnRef().GetFields()
	return len(fields) > 0 && fields[len(fields)-1].GetString_().GetSval() == "name" && slices.ContainsFunc(q.Uses, func(u resolve.Use) bool {
		rel := u.Ref.Relation
		return u.Node == arg && rel.Schema == "pg_catalog" && rel.Name == "pg_settings" && rel.Columns[u.Column].Name == "name"
	})
}

// guarded decides the calls that name a setting.
func (c *planner) guarded(f resolve.Func, q *resolve.Query) error {
	if f.Name != "set_config" && f.Name != "current_setting" || len(f.Call.Args) == 0 {
		return nil
	}
	name, ok := constants(f.Call.Args[:1])
	if f.Name == "current_setting" && listedSetting(f.Call.Args[0], q) {
		return nil
	}
	if !ok {
		return refuse("write the setting's name as a literal", "%s with a computed name is not open to callers with restrictions", f.Name)
	}
	if f.Name == "current_setting" {
		return readableSetting(name[0])
	}
	set := &pg_query.VariableSetStmt{Kind: pg_query.VariableSetKind_VAR_SET_VALUE, Name: name[0], Args: f.Call.Args[1:2]}
	steps := len(c.plan.Steps)
	if err := c.set(set); err != nil {
		return err
	}
	c.effects |= c.plan.Steps[steps].Effect
	c.plan.Steps = c.plan.Steps[:steps]
	return nil
}
