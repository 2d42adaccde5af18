package proxy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Triggers see whole rows, and may put them anywhere. Nothing of what one says
// reaches a caller with restrictions but that, and with which SQLSTATE, it
// failed.
func TestWhatTriggersSayIsWithheld(t *testing.T) {
	f, database := shop(t)
	dora := f.connect(t, database, "dora")
	secret := strings.TrimSpace(text(t.Context(), dora, "SELECT ssn FROM customers WHERE id = 1"))
	for _, sql := range []string{
		`CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			CASE NEW.first_name
			WHEN 'check' THEN RAISE EXCEPTION 'bad %', OLD.ssn USING ERRCODE = 'check_violation', CONSTRAINT = OLD.ssn, HINT = OLD.ssn, DETAIL = OLD.ssn;
			WHEN 'code' THEN RAISE EXCEPTION 'x' USING ERRCODE = 'ZZ' || substr(OLD.ssn, 1, 3);
			WHEN 'plain' THEN RAISE EXCEPTION '%', OLD.ssn;
			WHEN 'notice' THEN RAISE NOTICE '%', OLD.ssn; RAISE WARNING '%', OLD.ssn;
			ELSE PERFORM pg_notify('rows', row_to_json(OLD)::text);
			END CASE; RETURN NEW; END $$`,
		`CREATE TRIGGER tell BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tell()`,
	} {
		if got := text(t.Context(), dora, sql); got != "" {
			t.Fatal(got)
		}
	}
	for _, tt := range []struct{ name, state string }{
		{"check", "23514"}, {"code", "P0001"}, {"plain", "P0001"}, {"notice", ""}, {"notify", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var heard []string
			config := f.config(t, database, "alice")
			config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard = append(heard, fmt.Sprintf("%+v", *n)) }
			config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
				heard = append(heard, n.Payload)
				if n.Channel != "rows" {
					t.Errorf("notified of %q", n.Channel)
				}
			}
			conn, err := pgconn.ConnectConfig(t.Context(), &config.Config)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }()
			_, err = conn.Exec(t.Context(), "LISTEN rows; UPDATE customers SET first_name = '"+tt.name+"' WHERE id = 1").ReadAll()
			if code(err) != tt.state {
				t.Errorf("UPDATE: %v, want SQLSTATE %q", err, tt.state)
			}
			var e *pgconn.PgError
			if errors.As(err, &e) {
				heard = append(heard, fmt.Sprintf("%+v", *e))
			}
			for _, h := range heard {
				if strings.Contains(h, secret) {
					t.Errorf("the client heard %q", h)
				}
			}
			if tt.name == "notify" && len(heard) != 1 {
				t.Errorf("%d notifications, want one", len(heard))
			}
		})
	}
}

// What is checked at the end of a transaction, or when SET CONSTRAINTS says so,
// is reduced like what is checked at once.
func TestWhatDeferredChecksSayIsWithheld(t *testing.T) {
	f, database := shop(t)
	dora := f.connect(t, database, "dora")
	secret := strings.TrimSpace(text(t.Context(), dora, "SELECT ssn FROM customers WHERE id = 1"))
	for _, sql := range []string{
		`CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', OLD.ssn; RAISE EXCEPTION '%', OLD.ssn USING ERRCODE = 'check_violation'; END $$`,
		`CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON customers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`,
	} {
		if got := text(t.Context(), dora, sql); got != "" {
			t.Fatal(got)
		}
	}
	for _, end := range []string{"SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS late IMMEDIATE", "COMMIT"} {
		t.Run(end, func(t *testing.T) {
			var heard []string
			config := f.config(t, database, "alice")
			config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { heard = append(heard, fmt.Sprintf("%+v", *n)) }
			conn, err := pgconn.ConnectConfig(t.Context(), &config.Config)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }()
			for _, sql := range []string{"BEGIN", "UPDATE customers SET first_name = 'x' WHERE id = 1"} {
				if _, err := conn.Exec(t.Context(), sql).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			_, err = conn.Exec(t.Context(), end).ReadAll()
			var e *pgconn.PgError
			if !errors.As(err, &e) || e.Code != "23514" {
				t.Fatalf("%s: %v, want SQLSTATE 23514", end, err)
			}
			if all := fmt.Sprintf("%+v %v", *e, heard); strings.Contains(all, secret) {
				t.Errorf("the client heard %s", all)
			}
		})
	}
}
