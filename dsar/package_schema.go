package dsar

import (
	"slices"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// schema is the JSON Schema (draft 2020-12) of data.json.
func (p *packer) schema() map[string]any {
	tables := map[string]any{}
	counts := map[string]any{}
	for _, t := range p.shown {
		tables[t.Relation.QualifiedName()] = map[string]any{"type": "array", "items": t.schema()}
		counts[t.Relation.QualifiedName()] = map[string]any{"type": "integer", "minimum": 0}
	}
	text := map[string]any{"type": "string"}
	notes := map[string]any{"type": "array", "items": map[string]any{"type": "object"}}
	return map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "What is held on one " + p.graph.Subject.Name,
		"type":    "object",
		"properties": map[string]any{
			"subject": text, "key": map[string]any{"type": "object"}, "generated_at": map[string]any{"type": "string", "format": "date-time"},
			"prepared_by": text, "policy": text, "portable": map[string]any{"type": "boolean"},
			"not_followed": notes, "references": notes, "redacted": notes,
			"tables": object(tables), "counts": object(counts), "sha256": map[string]any{"type": "string", "pattern": "^[0-9a-f]{64}$"},
			"unreadable": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "integer", "minimum": 1}},
		},
		"required":             []string{"subject", "key", "generated_at", "policy", "tables", "counts", "sha256"},
		"additionalProperties": false,
		"$defs":                map[string]any{"redacted": standsFor("redacted", "what tells of somebody else"), "unreadable": standsFor("unreadable", "what cannot be opened")},
	}
}

// standsFor is the schema of what is there in place of a value.
func standsFor(name, what string) map[string]any {
	return map[string]any{
		"description": "stands for " + what, "type": "object",
		"properties": map[string]any{name: map[string]any{"type": "string"}}, "required": []string{name}, "additionalProperties": false,
	}
}

// object is the schema of an object that has all these members and no others.
func object(members map[string]any) map[string]any {
	required := make([]string, 0, len(members))
	for name := range members {
		required = append(required, name)
	}
	slices.Sort(required)
	return map[string]any{"type": "object", "properties": members, "required": required, "additionalProperties": false}
}

// schema is that of a row.
func (t shown) schema() map[string]any {
	columns := map[string]any{}
	for _, c := range t.columns {
		c.Type = t.typeOf(c)
		s := jsonType(c.Type)
		if types, ok := s["type"].([]string); ok && !c.NotNull {
			s["type"] = append(types, "null")
		}
		s["description"] = c.Type.SQL
		either := []any{s}
		if t.mayHide(c.Name) {
			either = append(either, map[string]any{"$ref": "#/$defs/redacted"})
		}
		if of := t.sealed[c.Name]; of != nil && of.Hide {
			either = append(either, map[string]any{"$ref": "#/$defs/unreadable"})
		}
		if columns[c.Name] = s; len(either) > 1 {
			columns[c.Name] = map[string]any{"anyOf": either}
		}
	}
	return object(columns)
}

// typeOf gives the type that a column's values have once they are opened.
func (t shown) typeOf(c catalog.Column) catalog.Type {
	of := t.sealed[c.Name]
	if of == nil || of.Values == of.Stored {
		return c.Type
	}
	typ, err := policy.ValueType(of.Values, 0)
	if err != nil {
		return c.Type // which the policy does not allow
	}
	return typ
}

// jsonType gives what to_jsonb makes of a type, with "type" absent where that
// can be anything. Numbers that JSON does not have, as NaN, are strings.
func jsonType(t catalog.Type) map[string]any {
	system := t.Schema == "pg_catalog" || t.Kind == 'd' && t.BaseSchema == "pg_catalog"
	switch {
	case t.Kind == 'e' || t.Kind == 'r' || t.Kind == 'm':
		return map[string]any{"type": []string{"string"}}
	case t.Kind == 'c':
		return map[string]any{"type": []string{"object"}}
	case t.Elem != 0 && t.Kind != 'd':
		return map[string]any{"type": []string{"array"}}
	case !system:
		return map[string]any{}
	}
	switch t.Base {
	case "int2", "int4", "int8":
		return map[string]any{"type": []string{"integer"}}
	case "numeric", "float4", "float8":
		return map[string]any{"type": []string{"number", "string"}}
	case "bool":
		return map[string]any{"type": []string{"boolean"}}
	case "timestamptz":
		return map[string]any{"type": []string{"string"}, "format": "date-time"}
	case "date":
		return map[string]any{"type": []string{"string"}, "format": "date"}
	case "uuid":
		return map[string]any{"type": []string{"string"}, "format": "uuid"}
	case "text", "varchar", "bpchar", "char", "name", "bytea", "timestamp", "time", "timetz", "interval", "inet", "cidr", "macaddr", "macaddr8", "xml":
		return map[string]any{"type": []string{"string"}}
	default:
		return map[string]any{}
	}
}
