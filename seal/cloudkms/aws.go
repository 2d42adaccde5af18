package cloudkms

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/seal"
)

// AWS wraps under a symmetric key of AWS KMS.
type AWS struct {
	key         string
	region      string
	at          *url.URL
	credentials func() (string, error) // nil: the machine's role
	machine     string                 // where the machine tells its role
	client      *http.Client
	now         func() time.Time
}

// AWSOptions say which key it is. The zero of each is its default, where there is one.
type AWSOptions struct {
	Key         string                 // ARN of a key or of an alias
	Endpoint    string                 // https://host; the region's public one
	Credentials func() (string, error) // a file as the AWS command line has it, of which [default] counts; the role of the EC2 instance
}

const awsName = "AWS KMS"

// awsDomains are the domains of the partitions whose endpoints are known.
var awsDomains = map[string]string{"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}

// NewAWS checks the options. It asks nobody.
func NewAWS(o AWSOptions) (*AWS, error) {
	parts := strings.SplitN(o.Key, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" || parts[3] == "" || !strings.HasPrefix(parts[5], "key/") && !strings.HasPrefix(parts[5], "alias/") {
		return nil, errors.New("AWS KMS: key is not an ARN, as in arn:aws:kms:eu-central-1:111122223333:key/…")
	}
	if o.Endpoint == "" {
		domain := awsDomains[parts[1]]
		if domain == "" {
			return nil, fmt.Errorf("AWS KMS: the endpoint of partition %q is not known: set endpoint", parts[1])
		}
		o.Endpoint = "https://kms." + parts[3] + "." + domain
	}
	at, err := endpoint(awsName, o.Endpoint)
	if err != nil {
		return nil, err
	}
	at.Path = "/"
	return &AWS{key: o.Key, region: parts[3], at: at, credentials: o.Credentials, machine: "http://169.254.169.254", client: newClient(), now: time.Now}, nil
}

const awsPrefix = "aws:"

// Wrap has KMS encrypt a key.
func (a *AWS) Wrap(ctx context.Context, key []byte) (string, error) {
	var out struct{ CiphertextBlob []byte }
	err := a.ask(ctx, "Encrypt", map[string]any{"KeyId": a.key, "Plaintext": key, "EncryptionContext": map[string]string{"for": purpose}}, &out)
	if err == nil && len(out.CiphertextBlob) == 0 {
		err = errors.New("AWS KMS: its answer is not a ciphertext")
	}
	return awsPrefix + base64.StdEncoding.EncodeToString(out.CiphertextBlob), err
}

// Unwrap has KMS decrypt a key.
func (a *AWS) Unwrap(ctx context.Context, wrapped string) ([]byte, error) {
	text, ok := strings.CutPrefix(wrapped, awsPrefix)
	blob, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, errors.New("it was wrapped by something else than AWS KMS")
	}
	var out struct{ Plaintext []byte }
	if err := a.ask(ctx, "Decrypt", map[string]any{"KeyId": a.key, "CiphertextBlob": blob, "EncryptionContext": map[string]string{"for": purpose}}, &out); err != nil {
		return nil, err
	}
	if len(out.Plaintext) != keyLen {
		return nil, errors.New("AWS KMS: its answer is not a key")
	}
	return out.Plaintext, nil
}

func (a *AWS) ask(ctx context.Context, verb string, in, out any) error {
	who, err := a.who(ctx)
	if err != nil {
		return err
	}
	r, body, err := post(ctx, a.at, "application/x-amz-json-1.1", in)
	if err != nil {
		return err
	}
	r.Header.Set("X-Amz-Target", "TrentService."+verb)
	who.sign(r, body, a.region, "kms", a.now())
	err = askJSON(a.client, awsName, r, out)
	if e, ok := asStatus(err); ok {
		return awsRefusal(e)
	}
	return err
}

// awsRefusal is what an answer means, by the name of the error in it.
func awsRefusal(e *statusError) error {
	var said struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(e.text, &said) // else it says nothing
	name := said.Type[strings.LastIndex(said.Type, "#")+1:]
	hint, away := "", false
	switch name {
	case "AccessDeniedException":
		hint = "pgveil needs kms:Encrypt and kms:Decrypt for the key"
	case "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "IncompleteSignatureException":
		hint = "the credentials are wrong or over, or the clock is"
	case "NotFoundException", "DisabledException", "KMSInvalidStateException":
		hint = "the key must exist in this region, and be enabled"
	case "InvalidCiphertextException", "IncorrectKeyException":
		hint = "is this the key that wrapped the file?"
	case "ThrottlingException", "LimitExceededException":
		away = true
	}
	err := explained(awsName, e, strings.TrimSpace(name+" "+said.Message), hint)
	var already *seal.AwayError
	if away && !errors.As(err, &already) {
		return &seal.AwayError{Err: err}
	}
	return err
}

// awsCredentials are who pgveil is to AWS.
type awsCredentials struct {
	ID     string `json:"AccessKeyId"`
	Secret string `json:"SecretAccessKey"`
	Token  string `json:"Token"` // "": none is needed
}

// who gives the credentials, from the file or from the machine (IMDSv2).
func (a *AWS) who(ctx context.Context) (c awsCredentials, err error) {
	if a.credentials != nil {
		text, err := a.credentials()
		if err != nil {
			return c, fmt.Errorf("AWS KMS: reading the credentials: %w", err)
		}
		if c = readCredentials(text); c.ID == "" || c.Secret == "" {
			return c, errors.New("AWS KMS: the file of credentials has no aws_access_key_id and aws_secret_access_key under [default]")
		}
		return c, nil
	}
	token, err := a.tell(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return c, err
	}
	const roles = "/latest/meta-data/iam/security-credentials/"
	role, err := a.tell(ctx, http.MethodGet, roles, "X-aws-ec2-metadata-token", string(token))
	if err != nil {
		return c, err
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(role)), "\n")
	text, err := a.tell(ctx, http.MethodGet, roles+url.PathEscape(name), "X-aws-ec2-metadata-token", string(token))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil || c.ID == "" || c.Secret == "" {
		return c, errors.New("AWS KMS: the machine does not tell credentials of its role")
	}
	return c, nil
}

// tell asks the machine about itself.
func (a *AWS) tell(ctx context.Context, method, path, header, value string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, a.machine+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set(header, value)
	text, err := ask(a.client, "AWS KMS: the machine's role", r)
	if e, ok := asStatus(err); ok {
		return nil, explained("AWS KMS: the machine's role", e, "", "give the instance a role, or set credentials_file")
	}
	return text, err
}

// readCredentials reads the section [default] of a file of credentials.
func readCredentials(text string) (c awsCredentials) {
	section := ""
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = strings.TrimSpace(strings.Trim(line, "[]"))
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || section != "default" {
			continue
		}
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.ID = value
		case "aws_secret_access_key":
			c.Secret = value
		case "aws_session_token":
			c.Token = value
		}
	}
	return c
}

// sign signs a request by AWS Signature Version 4: all of its headers, and the body.
// The path is / and there is no query.
func (c awsCredentials) sign(r *http.Request, body []byte, region, service string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", stamp)
	if c.Token != "" {
		r.Header.Set("X-Amz-Security-Token", c.Token)
	}
	names := []string{"host"}
	values := map[string]string{"host": r.URL.Host}
	for name, v := range r.Header {
		names = append(names, strings.ToLower(name))
		values[strings.ToLower(name)] = strings.TrimSpace(strings.Join(v, ","))
	}
	slices.Sort(names)
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n/\n\n", r.Method)
	for _, name := range names {
		fmt.Fprintf(&canonical, "%s:%s\n", name, values[name])
	}
	signed := strings.Join(names, ";")
	fmt.Fprintf(&canonical, "\n%s\n%x", signed, sha256.Sum256(body))
	scope := stamp[:8] + "/" + region + "/" + service + "/aws4_request"
	text := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", stamp, scope, sha256.Sum256([]byte(canonical.String())))
	key := []byte("AWS4" + c.Secret)
	for _, part := range []string{stamp[:8], region, service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", c.ID, scope, signed, hex.EncodeToString(key)))
}
