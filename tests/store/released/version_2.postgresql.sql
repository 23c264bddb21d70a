CREATE FUNCTION hepchallenge_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
            BEGIN
                RAISE EXCEPTION USING MESSAGE = 'table ' || TG_TABLE_NAME || ' is append-only';
            END
            $$;
CREATE TABLE choices (
    id integer NOT NULL,
    challenge text NOT NULL,
    team text NOT NULL,
    digests text NOT NULL,
    created_at character varying(40) NOT NULL
);
CREATE SEQUENCE choices_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE choices_id_seq OWNED BY choices.id;
CREATE TABLE folds (
    id integer NOT NULL,
    run_id integer NOT NULL,
    fold integer NOT NULL,
    verdict character varying(32) NOT NULL,
    outcome text NOT NULL,
    created_at character varying(40) NOT NULL
);
CREATE SEQUENCE folds_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE folds_id_seq OWNED BY folds.id;
CREATE TABLE infrastructure_failures (
    id integer NOT NULL,
    run_id integer NOT NULL,
    fold integer NOT NULL,
    outcome text NOT NULL,
    created_at character varying(40) NOT NULL
);
CREATE SEQUENCE infrastructure_failures_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE infrastructure_failures_id_seq OWNED BY infrastructure_failures.id;
CREATE TABLE runs (
    id integer NOT NULL,
    key_digest character varying(64) NOT NULL,
    attempt integer NOT NULL,
    key text NOT NULL,
    submission_id integer NOT NULL,
    challenge text NOT NULL,
    challenge_version text NOT NULL,
    submission_digest text NOT NULL,
    data_kind character varying(16) NOT NULL,
    data_digest text NOT NULL,
    isolation text NOT NULL,
    accounting text NOT NULL,
    versions text NOT NULL,
    created_at character varying(40) NOT NULL
);
CREATE SEQUENCE runs_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE runs_id_seq OWNED BY runs.id;
CREATE TABLE schema_version (
    version integer NOT NULL,
    created_at character varying(40) NOT NULL
);
CREATE TABLE scorings (
    id integer NOT NULL,
    run_id integer NOT NULL,
    verdict character varying(32) NOT NULL,
    scoring text NOT NULL,
    created_at character varying(40) NOT NULL
);
CREATE SEQUENCE scorings_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE scorings_id_seq OWNED BY scorings.id;
CREATE TABLE submissions (
    id integer NOT NULL,
    identity character varying(64) NOT NULL,
    challenge text NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    record text NOT NULL,
    received_at character varying(40) NOT NULL
);
CREATE SEQUENCE submissions_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE submissions_id_seq OWNED BY submissions.id;
CREATE TABLE teams (
    id integer NOT NULL,
    submission_id integer NOT NULL,
    team text NOT NULL,
    created_at character varying(40) NOT NULL
);
CREATE SEQUENCE teams_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE teams_id_seq OWNED BY teams.id;
ALTER TABLE ONLY choices ALTER COLUMN id SET DEFAULT nextval('choices_id_seq'::regclass);
ALTER TABLE ONLY folds ALTER COLUMN id SET DEFAULT nextval('folds_id_seq'::regclass);
ALTER TABLE ONLY infrastructure_failures ALTER COLUMN id SET DEFAULT nextval('infrastructure_failures_id_seq'::regclass);
ALTER TABLE ONLY runs ALTER COLUMN id SET DEFAULT nextval('runs_id_seq'::regclass);
ALTER TABLE ONLY scorings ALTER COLUMN id SET DEFAULT nextval('scorings_id_seq'::regclass);
ALTER TABLE ONLY submissions ALTER COLUMN id SET DEFAULT nextval('submissions_id_seq'::regclass);
ALTER TABLE ONLY teams ALTER COLUMN id SET DEFAULT nextval('teams_id_seq'::regclass);
INSERT INTO choices VALUES (1, 'higgsml', 'them', '["5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d"]', '2026-11-22T08:31:43.965579+00:00');
INSERT INTO folds VALUES (1, 1, 1000000, 'scored', '{"cpu_seconds":3.0,"event_seconds":{"test/0":0.125},"fold":0,"gpu_peak_memory_bytes":0,"gpu_seconds":0.0,"gpus":[],"log":"","message":"","peak_memory_bytes":123456,"phases":[{"cpu_seconds":2.25,"phase":"fit","wall_seconds":1.5}],"predictions":{"test":{"digest":"8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205","dtype":"<f8","path":"predictions/83/8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205.npy","shape":[3]}},"training":1,"verdict":"scored","wall_seconds":2.0}', '2026-11-22T08:31:43.725563+00:00');
INSERT INTO folds VALUES (2, 2, 1000000, 'scored', '{"cpu_seconds":3.0,"event_seconds":{"test/0":0.125},"fold":0,"gpu_peak_memory_bytes":0,"gpu_seconds":0.0,"gpus":[],"log":"","message":"","peak_memory_bytes":123456,"phases":[{"cpu_seconds":2.25,"phase":"fit","wall_seconds":1.5}],"predictions":{"test":{"digest":"8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205","dtype":"<f8","path":"predictions/83/8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205.npy","shape":[3]}},"training":1,"verdict":"scored","wall_seconds":2.0}', '2026-11-22T08:31:43.890164+00:00');
INSERT INTO infrastructure_failures VALUES (1, 1, 0, '{"cpu_seconds":0.0,"event_seconds":{},"fold":0,"gpu_peak_memory_bytes":0,"gpu_seconds":0.0,"gpus":[],"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"training":0,"verdict":"infrastructure","wall_seconds":0.0}', '2026-11-22T08:31:43.677482+00:00');
INSERT INTO infrastructure_failures VALUES (2, 1, 1, '{"cpu_seconds":0.0,"event_seconds":{},"fold":1,"gpu_peak_memory_bytes":0,"gpu_seconds":0.0,"gpus":[],"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"training":0,"verdict":"infrastructure","wall_seconds":0.0}', '2026-11-22T08:31:43.703840+00:00');
INSERT INTO infrastructure_failures VALUES (3, 2, 0, '{"cpu_seconds":0.0,"event_seconds":{},"fold":0,"gpu_peak_memory_bytes":0,"gpu_seconds":0.0,"gpus":[],"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"training":0,"verdict":"infrastructure","wall_seconds":0.0}', '2026-11-22T08:31:43.853461+00:00');
INSERT INTO infrastructure_failures VALUES (4, 2, 1, '{"cpu_seconds":0.0,"event_seconds":{},"fold":1,"gpu_peak_memory_bytes":0,"gpu_seconds":0.0,"gpus":[],"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"training":0,"verdict":"infrastructure","wall_seconds":0.0}', '2026-11-22T08:31:43.875095+00:00');
INSERT INTO runs VALUES (1, '081ec9ae69aa4318da749763f591167b71c3d9fcd9f14a98ee6842a3226a5505', 1, '{"challenge":"higgsml","challenge_version":"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","data_digest":"da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a","gpus":0,"limits":{"cores":2,"fit_cpu":1200.0,"fit_wall":60.0,"gpu_memory_bytes":null,"gpu_seconds":null,"log_bytes":262144,"memory_bytes":4294967296,"output_bytes":1073741824,"predict_cpu":600.0,"predict_wall":300.0,"processes":256,"scratch_bytes":1073741824},"quick":false,"seed":3,"submission_digest":"5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d","trainings":2}', 1, 'higgsml', 'c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1', '5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d', 'toy', 'da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a', 'namespaces', 'cgroups', '{"numpy":"2.0","python":"3.11.7"}', '2026-11-22T08:31:43.625441+00:00');
INSERT INTO runs VALUES (2, '58b081c43189c19029568c79754594497d0246322b0039a30b31ebaff946a0ef', 1, '{"challenge":"higgsml","challenge_version":"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","data_digest":"da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a","gpus":0,"limits":{"cores":2,"fit_cpu":1200.0,"fit_wall":60.0,"gpu_memory_bytes":null,"gpu_seconds":null,"log_bytes":262144,"memory_bytes":4294967296,"output_bytes":1073741824,"predict_cpu":600.0,"predict_wall":300.0,"processes":256,"scratch_bytes":1073741824},"quick":false,"seed":3,"submission_digest":"6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e","trainings":2}', 2, 'higgsml', 'c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1', '6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e', 'toy', 'da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a', 'namespaces', 'cgroups', '{"numpy":"2.0","python":"3.11.7"}', '2026-11-22T08:31:43.809555+00:00');
INSERT INTO schema_version VALUES (2, '2026-11-22T08:31:43.540388+00:00');
INSERT INTO scorings VALUES (1, 1, 'scored', '{"errors":{"auc":{"test":0.002}},"fold_scores":[{"auc":{"test":0.75}}],"gates":{"agreement":{"passed":true,"value":0.05}},"message":"","replicas":{"test":{"digest":"8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205","dtype":"<f8","path":"predictions/83/8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205.npy","shape":[3]}},"scorer_version":"s1","scores":{"auc":{"bagged_test":NaN,"test":0.75}},"spread":{"auc":{"test":0.01}},"training_spread":{},"verdict":"scored"}', '2026-11-22T08:31:43.757595+00:00');
INSERT INTO scorings VALUES (2, 1, 'infrastructure', '{"errors":{},"fold_scores":[],"gates":{},"message":"host","replicas":{},"scorer_version":"","scores":{},"spread":{},"training_spread":{},"verdict":"infrastructure"}', '2026-11-22T08:31:43.773717+00:00');
INSERT INTO scorings VALUES (3, 2, 'runtime_error', '{"errors":{},"fold_scores":[],"gates":{},"message":"fold 0: plain","replicas":{},"scorer_version":"","scores":{},"spread":{},"training_spread":{},"verdict":"runtime_error"}', '2026-11-22T08:31:43.921722+00:00');
INSERT INTO submissions VALUES (1, '201c9512020d31f223442b31d74a78b235ad57a291e79e16bf04639ee934bf47', 'higgsml', 'first', '5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d', '{"description":"d","digest":"5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d","kind":"code","links":["https://example.org"],"name":"first","parameters":7,"team":"us","title":"caf\u00e9 \u0000\ud800"}', '2026-11-22T08:31:43.585656+00:00');
INSERT INTO submissions VALUES (2, '2fc6fb0a7c2be55f5d2b9a7d07da866e3e2d3c051508c1d4386ff68a9f783460', 'higgsml', 'second', '6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e', '{"description":"d","digest":"6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e","kind":"code","links":["https://example.org"],"name":"second","parameters":7,"team":"us","title":"plain"}', '2026-11-22T08:31:43.787468+00:00');
INSERT INTO teams VALUES (1, 1, 'them', '2026-11-22T08:31:43.937717+00:00');
SELECT setval('choices_id_seq', 1, true);
SELECT setval('folds_id_seq', 2, true);
SELECT setval('infrastructure_failures_id_seq', 4, true);
SELECT setval('runs_id_seq', 2, true);
SELECT setval('scorings_id_seq', 3, true);
SELECT setval('submissions_id_seq', 2, true);
SELECT setval('teams_id_seq', 1, true);
ALTER TABLE ONLY choices
    ADD CONSTRAINT choices_pkey PRIMARY KEY (id);
ALTER TABLE ONLY folds
    ADD CONSTRAINT folds_pkey PRIMARY KEY (id);
ALTER TABLE ONLY folds
    ADD CONSTRAINT folds_run_id_fold_key UNIQUE (run_id, fold);
ALTER TABLE ONLY infrastructure_failures
    ADD CONSTRAINT infrastructure_failures_pkey PRIMARY KEY (id);
ALTER TABLE ONLY runs
    ADD CONSTRAINT runs_key_digest_attempt_key UNIQUE (key_digest, attempt);
ALTER TABLE ONLY runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
ALTER TABLE ONLY scorings
    ADD CONSTRAINT scorings_pkey PRIMARY KEY (id);
ALTER TABLE ONLY submissions
    ADD CONSTRAINT submissions_identity_key UNIQUE (identity);
ALTER TABLE ONLY submissions
    ADD CONSTRAINT submissions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);
CREATE INDEX infrastructure_failures_of_a_run ON infrastructure_failures USING btree (run_id, fold);
CREATE INDEX scorings_of_a_run ON scorings USING btree (run_id);
CREATE INDEX teams_of_a_submission ON teams USING btree (submission_id);
CREATE TRIGGER choices_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON choices FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
CREATE TRIGGER folds_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON folds FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
CREATE TRIGGER infrastructure_failures_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON infrastructure_failures FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
CREATE TRIGGER runs_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON runs FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
CREATE TRIGGER schema_version_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON schema_version FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
CREATE TRIGGER scorings_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON scorings FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
CREATE TRIGGER submissions_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON submissions FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
CREATE TRIGGER teams_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON teams FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only();
ALTER TABLE ONLY folds
    ADD CONSTRAINT folds_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id);
ALTER TABLE ONLY infrastructure_failures
    ADD CONSTRAINT infrastructure_failures_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id);
ALTER TABLE ONLY runs
    ADD CONSTRAINT runs_submission_id_fkey FOREIGN KEY (submission_id) REFERENCES submissions(id);
ALTER TABLE ONLY scorings
    ADD CONSTRAINT scorings_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id);
ALTER TABLE ONLY teams
    ADD CONSTRAINT teams_submission_id_fkey FOREIGN KEY (submission_id) REFERENCES submissions(id);
