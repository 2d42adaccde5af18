package ship

// These are the parts of OCSF events that are used, with the attributes' names
// as of version 1.5.0.

type ocsfEvent struct {
	Time       int64        `json:"time"` // milliseconds since 1970
	Message    string       `json:"message"`
	Category   int          `json:"category_uid"`
	CategoryIs string       `json:"category_name"`
	Class      int          `json:"class_uid"`
	ClassIs    string       `json:"class_name"`
	Activity   int          `json:"activity_id"`
	ActivityIs string       `json:"activity_name"`
	Type       int          `json:"type_uid"`
	TypeIs     string       `json:"type_name"`
	Severity   int          `json:"severity_id"`
	SeverityIs string       `json:"severity"`
	Status     int          `json:"status_id"`
	StatusIs   string       `json:"status"`
	StatusCode string       `json:"status_code,omitempty"`
	Detail     string       `json:"status_detail,omitempty"`
	Duration   *int64       `json:"duration,omitempty"` // milliseconds
	Metadata   ocsfMetadata `json:"metadata"`

	Actor    *ocsfActor    `json:"actor,omitempty"`
	User     *ocsfUser     `json:"user,omitempty"`
	Session  *ocsfUID      `json:"session,omitempty"`
	Source   *ocsfEndpoint `json:"src_endpoint,omitempty"`
	Service  *ocsfName     `json:"service,omitempty"`
	App      *ocsfProduct  `json:"app,omitempty"`
	Database *ocsfDatabase `json:"database,omitempty"`
	Table    *ocsfName     `json:"table,omitempty"`
	Query    *ocsfQuery    `json:"query_info,omitempty"`
	Store    int           `json:"type_id,omitempty"`
	StoreIs  string        `json:"type,omitempty"`

	// Of the profile security_control:
	Action         int                 `json:"action_id,omitempty"`
	ActionIs       string              `json:"action,omitempty"`
	Disposition    int                 `json:"disposition_id,omitempty"`
	DispositionIs  string              `json:"disposition,omitempty"`
	Authorizations []ocsfAuthorization `json:"authorizations,omitempty"`
	Alert          bool                `json:"is_alert,omitempty"`

	Unmapped struct {
		Privacy privacyPart `json:"privacy"`
	} `json:"unmapped"`
}

type ocsfMetadata struct {
	Version     string      `json:"version"`
	Product     ocsfProduct `json:"product"`
	Profiles    []string    `json:"profiles"`
	UID         string      `json:"uid"`
	Correlation string      `json:"correlation_uid,omitempty"`
	Log         string      `json:"log_name"`
	Code        string      `json:"event_code"`
	Sequence    *uint64     `json:"sequence,omitempty"`
}

type ocsfProduct struct {
	Name   string `json:"name"`
	Vendor string `json:"vendor_name"`
}

type ocsfName struct {
	Name string `json:"name"`
}

type ocsfUID struct {
	UID string `json:"uid"`
}

type ocsfActor struct {
	User    *ocsfUser `json:"user"`
	App     string    `json:"app_name,omitempty"`
	Session *ocsfUID  `json:"session,omitempty"`
}

type ocsfUser struct {
	Name   string      `json:"name"`
	Type   int         `json:"type_id"`
	TypeIs string      `json:"type"`
	Groups []ocsfGroup `json:"groups,omitempty"`
}

type ocsfGroup struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type ocsfEndpoint struct {
	Name string `json:"name,omitempty"`
	IP   string `json:"ip,omitempty"`
	Port int    `json:"port,omitempty"`
}

type ocsfDatabase struct {
	Name    string      `json:"name"`
	Type    int         `json:"type_id"`
	TypeIs  string      `json:"type"`
	Classes []ocsfClass `json:"data_classifications,omitempty"` // of the profile data_classification
}

type ocsfClass struct {
	Category   int        `json:"category_id"`
	CategoryIs string     `json:"category"`
	By         ocsfSource `json:"classifier_details"`
}

type ocsfSource struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type ocsfQuery struct {
	Text  string `json:"query_string"`
	UID   string `json:"uid,omitempty"`
	Time  int64  `json:"query_time"`
	Bytes int64  `json:"bytes,omitempty"`
}

type ocsfAuthorization struct {
	Decision string     `json:"decision"`
	Policy   ocsfPolicy `json:"policy"`
}

type ocsfPolicy struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}
