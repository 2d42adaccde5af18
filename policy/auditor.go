package policy

import (
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// auditRight is the right to read the access log: by PRIVACY WHO SAW and in SQL.
const auditRight = "audit"

// auditClass is the class of every column of the access log's tables.
const auditClass = "access_log"

// auditRelations are what the right opens in OwnSchema. It opens nothing else
// there: whom the tokens in the log mean is told by who_saw alone.
var auditRelations = strings.Fields(`access_log access_subjects access_columns refusals first_accesses
	unusual_hours elevation_history access_loaded`)

// auditFunctions are the functions in OwnSchema that the right opens.
var auditFunctions = strings.Fields("who_saw user_days refusals_by_rule access_by_purpose")

// AuditRelations lists the tables and views in OwnSchema that auditors read.
func AuditRelations() []string { return slices.Clone(auditRelations) }

// ofAudit tells whether a relation is part of the access log.
func ofAudit(schema, name string) bool {
	return schema == OwnSchema && slices.Contains(auditRelations, name)
}

// audits tells whether the caller may read the access log: nobody does without
// saying so, and by nothing but the right.
func (d *decisions) audits() bool {
	if !d.second && slices.Contains(d.set.doc.factor.privacy, auditRight) {
		return false
	}
	return slices.ContainsFunc(d.roles, func(r *compiledRole) bool { return slices.Contains(r.privacy, auditRight) })
}

// auditRelation gives the access to a table or view of the access log.
func (d *decisions) auditRelation(r *catalog.Relation) *RelationAccess {
	ra := &RelationAccess{Relation: r, Because: `it takes a role with the right "audit" under privacy`}
	if !d.audits() {
		return ra
	}
	columns := make([]Treatment, len(r.Columns))
	for i := range columns {
		columns[i] = Treatment{Show: ShowClear, Class: auditClass, Because: "the access log is open to auditors"}
	}
	return &RelationAccess{Relation: r, Ops: Select, Views: []View{{Columns: columns, Ops: Select}}, Because: "the access log is only read"}
}
