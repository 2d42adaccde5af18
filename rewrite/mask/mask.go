package mask

import (
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// column is what an expression is written for.
type column struct {
	typ    catalog.Type
	family policy.Family
	ref    string // the column itself
	value  string // an expression for the value, in a type that the functions here take
}

// Expr gives an SQL expression for what the mask shows of the column c of rel.
// ref is a reference to the column that the place of the expression
// understands, already quoted. class is the column's class, within which
// tokens join. An error means that the mask is not defined for the column.
func Expr(m policy.Mask, class string, rel *catalog.Relation, c *catalog.Column, ref string) (string, error) {
	if err := m.Applies(c.Type); err != nil {
		return "", fmt.Errorf("masking %s.%s: %w", rel.QualifiedName(), c.Name, err)
	}
	if m.Kind == policy.MaskNull {
		return null(c.Type), nil
	}
	if m.Kind == policy.MaskToken && class == "" {
		return "", fmt.Errorf("masking %s.%s: mask token needs a class", rel.QualifiedName(), c.Name)
	}
	col := column{typ: c.Type, family: policy.FamilyOf(c.Type), ref: ref, value: value(c.Type, ref)}
	own := label("hash", rel.Schema, rel.Name, c.Name)
	body, ok := col.masked(m, own, label("token", class))
	if !ok {
		return "", fmt.Errorf("masking %s.%s: internal error: no expression for mask %s", rel.QualifiedName(), c.Name, m)
	}
	return typed(body, c.Type), nil
}

// masked writes a mask other than null, up to the type of the result. own and
// shared are the labels of pseudonyms for the column and for its class.
func (c column) masked(m policy.Mask, own, shared string) (body string, ok bool) {
	switch m.Kind {
	case policy.MaskConstant:
		return c.fixed(m.Text), true
	case policy.MaskRedact:
		return c.fixed(redacted[c.family]), true
	case policy.MaskHash:
		return c.pseudonym(own), true
	case policy.MaskToken:
		return c.pseudonym(shared), true
	case policy.MaskAgeBand:
		return c.ageBand(m.Args[0]), true
	case policy.MaskYear:
		return c.year(), true
	case policy.MaskBucket:
		return c.step(m.Args[0], false), true
	case policy.MaskRound:
		return c.step(m.Args[0], true), true
	case policy.MaskMonth:
		return c.month(), true
	case policy.MaskIP:
		return c.ip(), true
	case policy.MaskInitials:
		return c.initials(), true
	case policy.MaskPrefix:
		return c.prefix(m.Args[0]), true
	case policy.MaskPhone:
		return c.phone(), true
	case policy.MaskEmail:
		return c.email(), true
	case policy.MaskLast:
		return c.keepEnds(0, m.Args[0]), true
	case policy.MaskFirst:
		return c.keepEnds(m.Args[0], 0), true
	case policy.MaskInner:
		return c.keepEnds(m.Args[0], m.Args[1]), true
	case policy.MaskOuter:
		return c.keepInside(m.Args[0], m.Args[1]), true
	case policy.MaskScrub:
		return c.scrub(), true
	default:
		return "", false
	}
}

// null gives a NULL of exactly the type. A domain's NULL is an element of an
// array that is not there: casting to the domain itself would run its checks,
// and a domain may be NOT NULL.
func null(t catalog.Type) string {
	if t.Kind == 'd' {
		return "(CAST(NULL AS " + typeName(t) + "[]))[1]"
	}
	return typed("NULL", t)
}

// value makes a reference to the column usable by functions that know only the
// built-in types: domains become their base type, and the text types with rules
// of their own become text.
func value(t catalog.Type, ref string) string {
	switch {
	case t.Base == "bpchar", t.Base == "citext":
		return sql("CAST($ref AS #text)", "$ref", ref)
	case t.Base == "cidr":
		return sql("CAST($ref AS #inet)", "$ref", ref)
	case t.Kind == 'd':
		return sql("CAST($ref AS #"+t.Base+")", "$ref", ref)
	default:
		return ref
	}
}

// typed casts an expression to the column's type. char without a length has no
// name that the grammar does not take for char(1), so the function that sets
// lengths makes it, told to leave the length alone.
func typed(expr string, t catalog.Type) string {
	if t.Base == "bpchar" && t.Mod < 0 {
		return sql("#bpchar($e, -1, true)", "$e", expr)
	}
	if t.Kind == 'd' {
		return "CAST(" + expr + " AS " + qualified(t.BaseSchema, t.Base) + ")"
	}
	return "CAST(" + expr + " AS " + typeName(t) + ")"
}

// typeName names a type with its schema. Built-in types that have a modifier
// are all spelled by keywords, which no search_path turns into another type.
func typeName(t catalog.Type) string {
	if t.Mod >= 0 {
		return t.SQL
	}
	return qualified(t.Schema, t.Name)
}

func qualified(schema, name string) string {
	if schema == "pg_catalog" { // where no name needs quotes
		return "pg_catalog." + name
	}
	return quoteName(schema) + "." + quoteName(name)
}

// sql expands a template: # before a function, type, collation or operator puts
// it into pg_catalog, and what the pairs name is replaced by what they give.
func sql(template string, pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		if template[i] != '#' {
			b.WriteByte(template[i])
			continue
		}
		rest := template[i+1:]
		op := rest[:len(rest)-len(strings.TrimLeft(rest, "+-*/<>=|"))]
		if op == "" {
			b.WriteString("pg_catalog.")
			continue
		}
		b.WriteString("OPERATOR(pg_catalog." + op + ")")
		i += len(op)
	}
	return strings.NewReplacer(pairs...).Replace(b.String())
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text so that it reads the same whether or not backslashes
// are special in plain literals.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
