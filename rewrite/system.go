package rewrite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// openCatalogs are the relations of pg_catalog that describe the schema and
// nothing else: what drivers and ORMs look at. Whatever is not listed is
// closed: statistics hold samples of values, other sessions' statements hold
// literals, and a catalog of a newer server is not known to be harmless.
var openCatalogs = strings.Fields(`
	pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_auth_members
	pg_available_extension_versions pg_available_extensions pg_cast pg_collation pg_constraint
	pg_conversion pg_database pg_default_acl pg_depend pg_description pg_enum pg_event_trigger
	pg_extension pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_group pg_index
	pg_indexes pg_inherits pg_init_privs pg_language pg_matviews pg_namespace pg_opclass
	pg_operator pg_opfamily pg_parameter_acl pg_partitioned_table pg_policies pg_policy pg_proc pg_publication
	pg_publication_namespace pg_publication_rel pg_publication_tables pg_range pg_rewrite pg_roles
	pg_rules pg_seclabel pg_seclabels pg_sequence pg_settings pg_shdepend pg_shdescription
	pg_shseclabel pg_statistic_ext pg_tables pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_transform
	pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_user
	pg_views`)

// closedInformation are the views of information_schema that show more than
// the schema.
var closedInformation = []string{"user_mapping_options", "_pg_user_mappings"}

// partCatalogs are relations of pg_catalog of which a part is closed: columns
// to show in another form ("" leaves the column out), and rows.
var partCatalogs = map[string]struct {
	columns map[string]string
	rows    string
}{
	// How many rows there are, hidden ones included.
	"pg_class": {columns: map[string]string{
		"reltuples":     "'-1'::pg_catalog.float4",
		"relpages":      "0",
		"relallvisible": "0",
		"relallfrozen":  "0",
		"relfrozenxid":  "'0'",
		"relminmxid":    "'0'",
	}},
	// A default that filled existing rows.
	"pg_attribute":     {columns: map[string]string{"attmissingval": "", "attstattarget": "NULL"}},
	"pg_stat_activity": {rows: inner + ".pid = pg_catalog.pg_backend_pid()"},
	"pg_stat_ssl":      {rows: inner + ".pid = pg_catalog.pg_backend_pid()"},
	"pg_stat_gssapi":   {rows: inner + ".pid = pg_catalog.pg_backend_pid()"},
	"pg_locks":         {columns: map[string]string{"page": "NULL", "tuple": "NULL"}, rows: inner + ".pid = pg_catalog.pg_backend_pid()"},
	// That there are settings and mappings, without what they hold.
	"pg_db_role_setting": {columns: map[string]string{"setconfig": "NULL"}},
	"pg_user_mappings":   {columns: map[string]string{"umoptions": "NULL"}},
	// Large objects are closed: there are none.
	"pg_largeobject_metadata": {rows: "false"},
	// How many rows there were.
	"pg_sequences": {columns: map[string]string{"last_value": "NULL"}},
	// The session's own, whose texts are those that were sent.
	"pg_prepared_statements": {columns: map[string]string{"statement": "NULL"}, rows: "NOT pg_catalog.starts_with(" + inner + ".name, 'pgveil_kept_')"},
	"pg_cursors":             {columns: map[string]string{"statement": "NULL"}},
}

// namesOnly are statistics views that tools join with for the names in them.
// Everything else in them is NULL.
var namesOnly = []string{
	"pg_stat_all_tables", "pg_stat_user_tables", "pg_statio_all_tables", "pg_statio_user_tables",
	"pg_stat_all_indexes", "pg_stat_user_indexes", "pg_statio_all_indexes", "pg_statio_user_indexes",
}

// nameColumns are the columns of those that name things.
var nameColumns = []string{"relid", "indexrelid", "schemaname", "relname", "indexrelname"}

// openRelation tells whether a relation of the system may stand as it is.
func openRelation(rel *catalog.Relation) bool {
	switch rel.Schema {
	case "pg_catalog":
		return slices.Contains(openCatalogs, rel.Name)
	case "information_schema":
		return !slices.Contains(closedInformation, rel.Name)
	default:
		return false
	}
}

// systemView gives what callers with restrictions see of one of the system's
// own relations.
func (c *planner) systemView(ref *resolve.Ref, q *resolve.Query) (*view, error) {
	if ref.Item == nil {
		return nil, refuse("", "%s is the system's own", ref.Relation.QualifiedName())
	}
	if openRelation(ref.Relation) {
		return &view{plain: true}, nil
	}
	t, err := c.engine.systemTemplate(ref.Relation)
	if err != nil {
		return nil, err
	}
	return &view{template: t, system: ref.System, fenced: t.fenced(q)}, nil
}

// systemTemplate gives the template of a relation of which a part is closed. It
// is the same for every access.
func (e *Engine) systemTemplate(rel *catalog.Relation) (*template, error) {
	key := templateKey{relation: rel.OID}
	if t, ok := e.templates.Load(key); ok {
		return t.(*template), nil
	}
	part, ok := partCatalogs[rel.Name]
	if slices.Contains(namesOnly, rel.Name) {
		part.columns, ok = map[string]string{}, true
		for _, col := range rel.Columns {
			if !slices.Contains(nameColumns, col.Name) {
				part.columns[col.Name] = "NULL"
			}
		}
	}
	if !ok || rel.Schema != "pg_catalog" {
		return nil, refuse("pgveil keeps open what describes the schema", "%s is closed to callers with restrictions", rel.QualifiedName())
	}
	t := &template{access: &policy.RelationAccess{Relation: rel, Ops: policy.Select}, columns: make([]shown, len(rel.Columns)), filter: map[int]bool{}}
	var targets []string
	for i, col := range rel.Columns {
		expr, replaced := part.columns[col.Name]
		if replaced && expr == "" {
			t.columns[i].treatment = policy.Treatment{Because: "it may hold values"}
			continue
		}
		t.columns[i].treatment.Show = policy.ShowClear
		if !replaced {
			expr = inner + "." + quoteIdent(col.Name)
		} else if expr == "0" || expr == "NULL" || expr == "'0'" {
			expr += "::" + col.Type.SQL
		}
		targets = append(targets, expr+" AS "+quoteIdent(col.Name))
	}
	sql := fmt.Sprintf("SELECT %s FROM pg_catalog.%s AS %s", strings.Join(targets, ", "), quoteIdent(rel.Name), inner)
	if part.rows != "" {
		sql += " WHERE " + part.rows
	}
	if err := e.fill(t, rel, sql); err != nil {
		return nil, err
	}
	e.templates.Store(key, t)
	return t, nil
}
