-- The main tables of Odoo, as far as the preset speaks of them: names, types and
-- keys, for tests.

CREATE TABLE public.res_country (
    id integer NOT NULL,
    code character varying(2),
    name jsonb,
    phone_code integer,
    PRIMARY KEY (id)
);

CREATE TABLE public.res_company (
    id integer NOT NULL,
    name character varying,
    partner_id integer NOT NULL,
    email character varying,
    phone character varying,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.res_partner (
    id integer NOT NULL,
    company_id integer,
    parent_id integer,
    commercial_partner_id integer,
    user_id integer,
    country_id integer,
    state_id integer,
    title integer,
    industry_id integer,
    color integer,
    active boolean,
    employee boolean,
    is_company boolean,
    partner_share boolean,
    type character varying,
    lang character varying,
    tz character varying,
    create_uid integer,
    write_uid integer,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    name character varying,
    complete_name character varying,
    display_name character varying,
    commercial_company_name character varying,
    company_name character varying,
    function character varying,
    email character varying,
    email_normalized character varying,
    phone character varying,
    mobile character varying,
    phone_sanitized character varying,
    street character varying,
    street2 character varying,
    zip character varying,
    city character varying,
    partner_latitude numeric,
    partner_longitude numeric,
    date_localization date,
    ref character varying,
    barcode jsonb,
    vat character varying,
    company_registry character varying,
    additional_identifiers jsonb,
    website character varying,
    comment text,
    sale_warn_msg text,
    signup_token character varying,
    signup_type character varying,
    signup_expiration timestamp without time zone,
    message_bounce integer,
    PRIMARY KEY (id)
);

CREATE TABLE public.res_partner_category (
    id integer NOT NULL,
    name jsonb,
    parent_id integer,
    PRIMARY KEY (id)
);

CREATE TABLE public.res_partner_res_partner_category_rel (
    category_id integer NOT NULL,
    partner_id integer NOT NULL,
    PRIMARY KEY (category_id, partner_id)
);

CREATE TABLE public.res_partner_bank (
    id integer NOT NULL,
    partner_id integer NOT NULL,
    bank_id integer,
    company_id integer,
    acc_number character varying,
    sanitized_acc_number character varying,
    acc_holder_name character varying,
    active boolean,
    allow_out_payment boolean,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.res_users (
    id integer NOT NULL,
    company_id integer NOT NULL,
    partner_id integer NOT NULL,
    active boolean,
    share boolean,
    action_id integer,
    notification_type character varying,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    create_uid integer,
    write_uid integer,
    login character varying,
    signature text,
    password character varying,
    totp_secret character varying,
    PRIMARY KEY (id)
);

CREATE TABLE public.crm_team (
    id integer NOT NULL,
    name jsonb,
    user_id integer,
    active boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.crm_stage (
    id integer NOT NULL,
    name jsonb,
    sequence integer,
    is_won boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.crm_tag (
    id integer NOT NULL,
    name jsonb,
    color integer,
    PRIMARY KEY (id)
);

CREATE TABLE public.crm_lead (
    id integer NOT NULL,
    partner_id integer,
    user_id integer,
    team_id integer,
    stage_id integer,
    company_id integer,
    country_id integer,
    state_id integer,
    lang_id integer,
    title integer,
    campaign_id integer,
    medium_id integer,
    source_id integer,
    lost_reason_id integer,
    recurring_plan integer,
    color integer,
    active boolean,
    type character varying,
    priority character varying,
    email_state character varying,
    phone_state character varying,
    probability numeric,
    automated_probability numeric,
    day_open numeric,
    day_close numeric,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    create_uid integer,
    write_uid integer,
    date_open timestamp without time zone,
    date_closed timestamp without time zone,
    date_conversion timestamp without time zone,
    date_deadline date,
    date_last_stage_update timestamp without time zone,
    date_action_last timestamp without time zone,
    expected_revenue numeric,
    prorated_revenue numeric,
    recurring_revenue numeric,
    recurring_revenue_monthly numeric,
    recurring_revenue_monthly_prorated numeric,
    name character varying,
    description text,
    lead_properties jsonb,
    referred character varying,
    contact_name character varying,
    partner_name character varying,
    function character varying,
    email_from character varying,
    email_normalized character varying,
    email_domain_criterion character varying,
    email_cc character varying,
    phone character varying,
    mobile character varying,
    phone_sanitized character varying,
    street character varying,
    street2 character varying,
    zip character varying,
    city character varying,
    website character varying,
    message_bounce integer,
    PRIMARY KEY (id)
);

CREATE TABLE public.crm_tag_rel (
    lead_id integer NOT NULL,
    tag_id integer NOT NULL,
    PRIMARY KEY (lead_id, tag_id)
);

CREATE TABLE public.mail_message (
    id integer NOT NULL,
    parent_id integer,
    author_id integer,
    author_guest_id integer,
    subtype_id integer,
    mail_activity_type_id integer,
    mail_server_id integer,
    record_company_id integer,
    record_alias_domain_id integer,
    create_uid integer,
    write_uid integer,
    model character varying,
    res_id integer,
    message_type character varying,
    is_internal boolean,
    email_add_signature boolean,
    email_layout_xmlid character varying,
    reply_to_force_new boolean,
    date timestamp without time zone,
    pinned_at timestamp without time zone,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    subject character varying,
    body text,
    record_name character varying,
    message_id character varying,
    email_from character varying,
    reply_to character varying,
    incoming_email_to text,
    incoming_email_cc character varying,
    outgoing_email_to character varying,
    PRIMARY KEY (id)
);

CREATE TABLE public.mail_tracking_value (
    id integer NOT NULL,
    mail_message_id integer NOT NULL,
    field_id integer,
    field_info jsonb,
    currency_id integer,
    create_date timestamp without time zone,
    old_value_char character varying,
    new_value_char character varying,
    old_value_text text,
    new_value_text text,
    old_value_integer integer,
    new_value_integer integer,
    old_value_float double precision,
    new_value_float double precision,
    old_value_datetime timestamp without time zone,
    new_value_datetime timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.mail_message_res_partner_rel (
    mail_message_id integer NOT NULL,
    res_partner_id integer NOT NULL,
    PRIMARY KEY (mail_message_id, res_partner_id)
);

CREATE TABLE public.mail_notification (
    id integer NOT NULL,
    mail_message_id integer NOT NULL,
    res_partner_id integer,
    author_id integer,
    notification_type character varying,
    notification_status character varying,
    is_read boolean,
    read_date timestamp without time zone,
    failure_type character varying,
    failure_reason text,
    PRIMARY KEY (id)
);

CREATE TABLE public.mail_followers (
    id integer NOT NULL,
    res_model character varying NOT NULL,
    res_id integer,
    partner_id integer NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE public.mail_activity (
    id integer NOT NULL,
    res_model_id integer,
    res_model character varying,
    res_id integer,
    activity_type_id integer,
    user_id integer,
    request_partner_id integer,
    date_deadline date,
    active boolean,
    automated boolean,
    create_uid integer,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    res_name character varying,
    summary character varying,
    note text,
    feedback text,
    PRIMARY KEY (id)
);

CREATE TABLE public.ir_attachment (
    id integer NOT NULL,
    res_model character varying,
    res_field character varying,
    res_id integer,
    company_id integer,
    type character varying,
    mimetype character varying,
    file_size integer,
    public boolean,
    checksum character varying(40),
    store_fname character varying,
    db_datas bytea,
    index_content text,
    access_token character varying,
    name character varying,
    description text,
    url character varying,
    create_uid integer,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.calendar_event (
    id integer NOT NULL,
    user_id integer,
    opportunity_id integer,
    res_model character varying,
    res_id integer,
    active boolean,
    allday boolean,
    start timestamp without time zone,
    stop timestamp without time zone,
    duration double precision,
    privacy character varying,
    show_as character varying,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    name character varying,
    description text,
    location character varying,
    videocall_location character varying,
    access_token character varying,
    PRIMARY KEY (id)
);

CREATE TABLE public.calendar_attendee (
    id integer NOT NULL,
    event_id integer NOT NULL,
    partner_id integer NOT NULL,
    state character varying,
    availability character varying,
    common_name character varying,
    email character varying,
    phone character varying,
    access_token character varying,
    create_date timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.calendar_event_res_partner_rel (
    calendar_event_id integer NOT NULL,
    res_partner_id integer NOT NULL,
    PRIMARY KEY (calendar_event_id, res_partner_id)
);

CREATE TABLE public.sale_order (
    id integer NOT NULL,
    name character varying,
    partner_id integer NOT NULL,
    partner_invoice_id integer,
    partner_shipping_id integer,
    user_id integer,
    team_id integer,
    opportunity_id integer,
    company_id integer,
    state character varying,
    date_order timestamp without time zone,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    amount_untaxed numeric,
    amount_tax numeric,
    amount_total numeric,
    client_order_ref character varying,
    note text,
    signed_by character varying,
    signed_on timestamp without time zone,
    access_token character varying,
    PRIMARY KEY (id)
);

CREATE TABLE public.sale_order_line (
    id integer NOT NULL,
    order_id integer NOT NULL,
    product_id integer,
    name text,
    product_uom_qty numeric,
    price_unit numeric,
    price_subtotal numeric,
    price_total numeric,
    PRIMARY KEY (id)
);

CREATE TABLE public.account_move (
    id integer NOT NULL,
    name character varying,
    partner_id integer,
    commercial_partner_id integer,
    partner_shipping_id integer,
    partner_bank_id integer,
    invoice_user_id integer,
    company_id integer,
    move_type character varying,
    state character varying,
    payment_state character varying,
    date date,
    invoice_date date,
    invoice_date_due date,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    amount_untaxed numeric,
    amount_tax numeric,
    amount_total numeric,
    amount_residual numeric,
    ref character varying,
    payment_reference character varying,
    invoice_partner_display_name character varying,
    narration text,
    invoice_source_email character varying,
    access_token character varying,
    PRIMARY KEY (id)
);

CREATE TABLE public.mailing_contact (
    id integer NOT NULL,
    country_id integer,
    create_date timestamp without time zone,
    write_date timestamp without time zone,
    name character varying,
    first_name character varying,
    last_name character varying,
    company_name character varying,
    email character varying,
    email_normalized character varying,
    message_bounce integer,
    PRIMARY KEY (id)
);

ALTER TABLE public.res_company ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE RESTRICT;
ALTER TABLE public.res_partner ADD FOREIGN KEY (company_id) REFERENCES public.res_company ON DELETE SET NULL;
ALTER TABLE public.res_partner ADD FOREIGN KEY (parent_id) REFERENCES public.res_partner ON DELETE SET NULL;
ALTER TABLE public.res_partner ADD FOREIGN KEY (commercial_partner_id) REFERENCES public.res_partner ON DELETE SET NULL;
ALTER TABLE public.res_partner ADD FOREIGN KEY (user_id) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.res_partner ADD FOREIGN KEY (country_id) REFERENCES public.res_country ON DELETE RESTRICT;
ALTER TABLE public.res_partner ADD FOREIGN KEY (create_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.res_partner ADD FOREIGN KEY (write_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.res_partner_category ADD FOREIGN KEY (parent_id) REFERENCES public.res_partner_category ON DELETE CASCADE;
ALTER TABLE public.res_partner_res_partner_category_rel ADD FOREIGN KEY (category_id) REFERENCES public.res_partner_category ON DELETE CASCADE;
ALTER TABLE public.res_partner_res_partner_category_rel ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE CASCADE;
ALTER TABLE public.res_partner_bank ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE CASCADE;
ALTER TABLE public.res_partner_bank ADD FOREIGN KEY (company_id) REFERENCES public.res_company ON DELETE SET NULL;
ALTER TABLE public.res_users ADD FOREIGN KEY (company_id) REFERENCES public.res_company ON DELETE RESTRICT;
ALTER TABLE public.res_users ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE RESTRICT;
ALTER TABLE public.res_users ADD FOREIGN KEY (create_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.res_users ADD FOREIGN KEY (write_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.crm_team ADD FOREIGN KEY (user_id) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE SET NULL;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (user_id) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (team_id) REFERENCES public.crm_team ON DELETE SET NULL;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (stage_id) REFERENCES public.crm_stage ON DELETE RESTRICT;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (company_id) REFERENCES public.res_company ON DELETE SET NULL;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (country_id) REFERENCES public.res_country ON DELETE SET NULL;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (create_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.crm_lead ADD FOREIGN KEY (write_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.crm_tag_rel ADD FOREIGN KEY (lead_id) REFERENCES public.crm_lead ON DELETE CASCADE;
ALTER TABLE public.crm_tag_rel ADD FOREIGN KEY (tag_id) REFERENCES public.crm_tag ON DELETE CASCADE;
ALTER TABLE public.mail_message ADD FOREIGN KEY (parent_id) REFERENCES public.mail_message ON DELETE SET NULL;
ALTER TABLE public.mail_message ADD FOREIGN KEY (author_id) REFERENCES public.res_partner ON DELETE SET NULL;
ALTER TABLE public.mail_message ADD FOREIGN KEY (create_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.mail_message ADD FOREIGN KEY (write_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.mail_tracking_value ADD FOREIGN KEY (mail_message_id) REFERENCES public.mail_message ON DELETE CASCADE;
ALTER TABLE public.mail_message_res_partner_rel ADD FOREIGN KEY (mail_message_id) REFERENCES public.mail_message ON DELETE CASCADE;
ALTER TABLE public.mail_message_res_partner_rel ADD FOREIGN KEY (res_partner_id) REFERENCES public.res_partner ON DELETE CASCADE;
ALTER TABLE public.mail_notification ADD FOREIGN KEY (mail_message_id) REFERENCES public.mail_message ON DELETE CASCADE;
ALTER TABLE public.mail_notification ADD FOREIGN KEY (res_partner_id) REFERENCES public.res_partner ON DELETE CASCADE;
ALTER TABLE public.mail_notification ADD FOREIGN KEY (author_id) REFERENCES public.res_partner ON DELETE SET NULL;
ALTER TABLE public.mail_followers ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE CASCADE;
ALTER TABLE public.mail_activity ADD FOREIGN KEY (user_id) REFERENCES public.res_users ON DELETE RESTRICT;
ALTER TABLE public.mail_activity ADD FOREIGN KEY (request_partner_id) REFERENCES public.res_partner ON DELETE SET NULL;
ALTER TABLE public.mail_activity ADD FOREIGN KEY (create_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.ir_attachment ADD FOREIGN KEY (company_id) REFERENCES public.res_company ON DELETE SET NULL;
ALTER TABLE public.ir_attachment ADD FOREIGN KEY (create_uid) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.calendar_event ADD FOREIGN KEY (user_id) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.calendar_event ADD FOREIGN KEY (opportunity_id) REFERENCES public.crm_lead ON DELETE SET NULL;
ALTER TABLE public.calendar_attendee ADD FOREIGN KEY (event_id) REFERENCES public.calendar_event ON DELETE CASCADE;
ALTER TABLE public.calendar_attendee ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE CASCADE;
ALTER TABLE public.calendar_event_res_partner_rel ADD FOREIGN KEY (calendar_event_id) REFERENCES public.calendar_event ON DELETE CASCADE;
ALTER TABLE public.calendar_event_res_partner_rel ADD FOREIGN KEY (res_partner_id) REFERENCES public.res_partner ON DELETE CASCADE;
ALTER TABLE public.sale_order ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE RESTRICT;
ALTER TABLE public.sale_order ADD FOREIGN KEY (partner_invoice_id) REFERENCES public.res_partner ON DELETE RESTRICT;
ALTER TABLE public.sale_order ADD FOREIGN KEY (partner_shipping_id) REFERENCES public.res_partner ON DELETE RESTRICT;
ALTER TABLE public.sale_order ADD FOREIGN KEY (user_id) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.sale_order ADD FOREIGN KEY (team_id) REFERENCES public.crm_team ON DELETE SET NULL;
ALTER TABLE public.sale_order ADD FOREIGN KEY (opportunity_id) REFERENCES public.crm_lead ON DELETE SET NULL;
ALTER TABLE public.sale_order ADD FOREIGN KEY (company_id) REFERENCES public.res_company ON DELETE RESTRICT;
ALTER TABLE public.sale_order_line ADD FOREIGN KEY (order_id) REFERENCES public.sale_order ON DELETE CASCADE;
ALTER TABLE public.account_move ADD FOREIGN KEY (partner_id) REFERENCES public.res_partner ON DELETE RESTRICT;
ALTER TABLE public.account_move ADD FOREIGN KEY (commercial_partner_id) REFERENCES public.res_partner ON DELETE RESTRICT;
ALTER TABLE public.account_move ADD FOREIGN KEY (partner_shipping_id) REFERENCES public.res_partner ON DELETE SET NULL;
ALTER TABLE public.account_move ADD FOREIGN KEY (partner_bank_id) REFERENCES public.res_partner_bank ON DELETE RESTRICT;
ALTER TABLE public.account_move ADD FOREIGN KEY (invoice_user_id) REFERENCES public.res_users ON DELETE SET NULL;
ALTER TABLE public.account_move ADD FOREIGN KEY (company_id) REFERENCES public.res_company ON DELETE RESTRICT;
ALTER TABLE public.mailing_contact ADD FOREIGN KEY (country_id) REFERENCES public.res_country ON DELETE SET NULL;
