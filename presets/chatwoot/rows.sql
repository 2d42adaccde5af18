-- Two made-up people. What is Ada's says ada-N somewhere, what is Bob's bob-N;
-- what is neither's names neither.
INSERT INTO accounts (id, name) VALUES (1, 'Seller');
INSERT INTO users (id, name, email) VALUES (10, 'Staff', 'staff@seller.example');
INSERT INTO inboxes (id, account_id, name) VALUES (1, 1, 'Web');
INSERT INTO contacts (id, account_id, name, email, custom_attributes) VALUES
  (10, 1, 'ada-1', 'ada-1@buyer.example', '{"likes": "ada-2"}'), (11, 1, 'bob-1', 'bob-1@buyer.example', '{"likes": "bob-2"}');
INSERT INTO contact_inboxes (id, contact_id, inbox_id, source_id) VALUES (1, 10, 1, 'ada-3'), (2, 11, 1, 'bob-3');
INSERT INTO conversations (id, account_id, inbox_id, contact_id, identifier) VALUES (20, 1, 1, 10, 'ada-4'), (21, 1, 1, 11, 'bob-4');
INSERT INTO messages (id, conversation_id, content, sender_type, sender_id) VALUES
  (30, 20, 'ada-5', 'Contact', 10), (31, 20, 'ada-6', 'User', 10), (32, 21, 'bob-5', 'Contact', 11), (33, 21, 'bob-6', 'User', 10);
INSERT INTO attachments (id, message_id, fallback_title) VALUES (40, 30, 'ada-7'), (41, 32, 'bob-7');
INSERT INTO active_storage_blobs (id, key, filename) VALUES (50, 'k1', 'ada-8'), (51, 'k2', 'bob-8'), (52, 'k3', 'of a user'), (53, 'k4', 'ada-9');
INSERT INTO active_storage_attachments (id, name, record_type, record_id, blob_id) VALUES
  (1, 'file', 'Attachment', 40, 50), (2, 'file', 'Attachment', 41, 51), (3, 'avatar', 'User', 10, 52), (4, 'avatar', 'Contact', 10, 53);
INSERT INTO notes (id, contact_id, content, user_id) VALUES (1, 10, 'ada-10', 10), (2, 11, 'bob-10', 10);
INSERT INTO csat_survey_responses (id, conversation_id, message_id, contact_id, rating, feedback_message) VALUES (1, 20, 31, 10, 5, 'ada-11'), (2, 21, 33, 11, 1, 'bob-11');
INSERT INTO tags (id, name) VALUES (1, 'gold');
INSERT INTO taggings (id, tag_id, taggable_type, taggable_id, context) VALUES (1, 1, 'Contact', 10, 'ada-12'), (2, 1, 'Contact', 11, 'bob-12'), (3, 1, 'Conversation', 20, 'ada-13'),
  (4, 1, 'Conversation', 10, 'of a conversation that is gone');
INSERT INTO reporting_events (id, name, conversation_id) VALUES (1, 'ada-14', 20), (2, 'bob-14', 21);
