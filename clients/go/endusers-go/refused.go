package main

import (
	"context"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sign makes a token; more replaces or adds claims.
func sign(id, name string, secret []byte, more jwt.MapClaims) (string, error) {
	now := time.Now().Unix()
	claims := jwt.MapClaims{"iss": "crm", "aud": "pgveil", "sub": name, "roles": []string{"agent"},
		"attributes": map[string]string{"region": "EU"}, "jti": id, "iat": now, "exp": now + 60}
	for claim, value := range more {
		claims[claim] = value
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
}

// prepared has one prepared statement run for one user after the other.
func prepared(ctx context.Context, conn *pgx.Conn) {
	fmt.Println("# prepared once")
	for i, u := range users {
		token, err := sign(fmt.Sprint("prepared ", i), u.Name, key, jwt.MapClaims{"attributes": u.Attributes})
		if err == nil {
			_, err = conn.Exec(ctx, "SET pgveil.token = '"+token+"'")
		}
		if err == nil && i == 0 {
			_, err = conn.Prepare(ctx, "customers", customer)
		}
		if err != nil {
			fmt.Println(state(err))
			continue
		}
		rows, _ := conn.Query(ctx, "customers", 0) // the error is the rows' as well
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		fmt.Println(u.Name, ids, state(err))
	}
	_, err := conn.Exec(ctx, "RESET pgveil.token")
	_, again := conn.Exec(ctx, "customers", 0)
	fmt.Println("nobody", state(err), state(again))
}

// refused tries tokens that must not count. conn holds one of the pool's two
// connections, so that the pool gives another.
func refused(ctx context.Context, pool *pgxpool.Pool, conn *pgx.Conn) error {
	fmt.Println("# refused")
	past := time.Now().Add(-time.Hour).Unix()
	for _, tt := range []struct {
		name   string
		secret []byte
		more   jwt.MapClaims
	}{
		{"good", key, nil},
		{"forged", []byte("another secret of 32 bytes or more"), nil},
		{"expired", key, jwt.MapClaims{"iat": past, "exp": past + 60}},
		{"for others", key, jwt.MapClaims{"aud": "another"}},
		{"more than the login may", key, jwt.MapClaims{"roles": []string{"dba"}}},
	} {
		token, err := sign(tt.name, "anna", tt.secret, tt.more)
		if err != nil {
			return err
		}
		_, here := conn.Exec(ctx, "SET pgveil.token = '"+token+"'")
		_, there := pool.Exec(ctx, "SET pgveil.token = '"+token+"'")
		fmt.Printf("%s: %s, on another connection: %s\n", tt.name, state(here), state(there))
	}
	_, err := pool.Exec(ctx, "SET pgveil.end_user = 'anna'")
	fmt.Println("unsigned:", state(err))
	return nil
}
