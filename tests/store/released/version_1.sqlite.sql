BEGIN TRANSACTION;
CREATE TABLE folds (
	id INTEGER NOT NULL,
	run_id INTEGER NOT NULL,
	fold INTEGER NOT NULL,
	verdict VARCHAR(32) NOT NULL,
	outcome TEXT NOT NULL,
	created_at VARCHAR(40) NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (run_id, fold),
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "folds" VALUES(1,1,0,'scored','{"cpu_seconds":3.0,"fold":0,"log":"","message":"","peak_memory_bytes":123456,"phases":[{"cpu_seconds":2.25,"phase":"fit","wall_seconds":1.5}],"predictions":{"test":{"digest":"8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205","dtype":"<f8","path":"predictions/83/8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205.npy","shape":[3]}},"verdict":"scored","wall_seconds":2.0}','2026-11-22T08:31:39.046077+00:00');
INSERT INTO "folds" VALUES(2,2,0,'scored','{"cpu_seconds":3.0,"fold":0,"log":"","message":"","peak_memory_bytes":123456,"phases":[{"cpu_seconds":2.25,"phase":"fit","wall_seconds":1.5}],"predictions":{"test":{"digest":"8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205","dtype":"<f8","path":"predictions/83/8389aa0536b3f51cc9577c0c6bd1992be2b5edd23d56fbc4c04844029b42b205.npy","shape":[3]}},"verdict":"scored","wall_seconds":2.0}','2026-11-22T08:31:39.169546+00:00');
CREATE TABLE infrastructure_failures (
	id INTEGER NOT NULL,
	run_id INTEGER NOT NULL,
	fold INTEGER NOT NULL,
	outcome TEXT NOT NULL,
	created_at VARCHAR(40) NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "infrastructure_failures" VALUES(1,1,0,'{"cpu_seconds":0.0,"fold":0,"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"verdict":"infrastructure","wall_seconds":0.0}','2026-11-22T08:31:38.991330+00:00');
INSERT INTO "infrastructure_failures" VALUES(2,1,1,'{"cpu_seconds":0.0,"fold":1,"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"verdict":"infrastructure","wall_seconds":0.0}','2026-11-22T08:31:39.018877+00:00');
INSERT INTO "infrastructure_failures" VALUES(3,2,0,'{"cpu_seconds":0.0,"fold":0,"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"verdict":"infrastructure","wall_seconds":0.0}','2026-11-22T08:31:39.138794+00:00');
INSERT INTO "infrastructure_failures" VALUES(4,2,1,'{"cpu_seconds":0.0,"fold":1,"log":"","message":"host","peak_memory_bytes":0,"phases":[],"predictions":{},"verdict":"infrastructure","wall_seconds":0.0}','2026-11-22T08:31:39.154784+00:00');
CREATE TABLE runs (
	id INTEGER NOT NULL,
	key_digest VARCHAR(64) NOT NULL,
	attempt INTEGER NOT NULL,
	"key" TEXT NOT NULL,
	submission_id INTEGER NOT NULL,
	challenge TEXT NOT NULL,
	challenge_version TEXT NOT NULL,
	submission_digest TEXT NOT NULL,
	data_kind VARCHAR(16) NOT NULL,
	data_digest TEXT NOT NULL,
	isolation TEXT NOT NULL,
	accounting TEXT NOT NULL,
	versions TEXT NOT NULL,
	created_at VARCHAR(40) NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (key_digest, attempt),
	FOREIGN KEY(submission_id) REFERENCES submissions (id)
);
INSERT INTO "runs" VALUES(1,'fca80c4b2bc657a343552c735e91996421a7eaea10900bbbc7e699a0f368482f',1,'{"challenge":"higgsml","challenge_version":"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","data_digest":"da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a","limits":{"fit_cpu":1200.0,"fit_wall":60.0,"memory_bytes":4294967296,"output_bytes":1073741824,"predict_cpu":600.0,"predict_wall":300.0,"processes":256},"quick":false,"seed":3,"submission_digest":"5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d"}',1,'higgsml','c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1','5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d','toy','da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a','namespaces','cgroups','{"numpy":"2.0","python":"3.11.7"}','2026-11-22T08:31:38.961499+00:00');
INSERT INTO "runs" VALUES(2,'773217f842be4b72024c2bd94ecbd6c574093f906c1d4ad03d28558754256aa4',1,'{"challenge":"higgsml","challenge_version":"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1","data_digest":"da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a","limits":{"fit_cpu":1200.0,"fit_wall":60.0,"memory_bytes":4294967296,"output_bytes":1073741824,"predict_cpu":600.0,"predict_wall":300.0,"processes":256},"quick":false,"seed":3,"submission_digest":"6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e"}',2,'higgsml','c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1','6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e','toy','da7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7ada7a','namespaces','cgroups','{"numpy":"2.0","python":"3.11.7"}','2026-11-22T08:31:39.111159+00:00');
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	created_at VARCHAR(40) NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1,'2026-11-22T08:31:38.915161+00:00');
CREATE TABLE scorings (
	id INTEGER NOT NULL,
	run_id INTEGER NOT NULL,
	verdict VARCHAR(32) NOT NULL,
	scoring TEXT NOT NULL,
	created_at VARCHAR(40) NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "scorings" VALUES(1,1,'scored','{"fold_scores":[{"auc":{"test":0.75}}],"gates":{"agreement":{"passed":true,"value":0.05}},"message":"","scorer_version":"s1","scores":{"auc":{"bagged_test":NaN,"test":0.75}},"spread":{"auc":{"test":0.01}},"verdict":"scored"}','2026-11-22T08:31:39.066477+00:00');
INSERT INTO "scorings" VALUES(2,1,'infrastructure','{"fold_scores":[],"gates":{},"message":"host","scorer_version":"","scores":{},"spread":{},"verdict":"infrastructure"}','2026-11-22T08:31:39.079018+00:00');
INSERT INTO "scorings" VALUES(3,2,'runtime_error','{"fold_scores":[],"gates":{},"message":"fold 0: plain","scorer_version":"","scores":{},"spread":{},"verdict":"runtime_error"}','2026-11-22T08:31:39.172010+00:00');
CREATE TABLE submissions (
	id INTEGER NOT NULL,
	identity VARCHAR(64) NOT NULL,
	challenge TEXT NOT NULL,
	name TEXT NOT NULL,
	digest TEXT NOT NULL,
	record TEXT NOT NULL,
	received_at VARCHAR(40) NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (identity)
);
INSERT INTO "submissions" VALUES(1,'201c9512020d31f223442b31d74a78b235ad57a291e79e16bf04639ee934bf47','higgsml','first','5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d','{"description":"d","digest":"5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d5d","kind":"code","links":["https://example.org"],"name":"first","parameters":7,"team":"us","title":"caf\u00e9 \u0000\ud800"}','2026-11-22T08:31:38.940471+00:00');
INSERT INTO "submissions" VALUES(2,'2fc6fb0a7c2be55f5d2b9a7d07da866e3e2d3c051508c1d4386ff68a9f783460','higgsml','second','6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e','{"description":"d","digest":"6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e","kind":"code","links":["https://example.org"],"name":"second","parameters":7,"team":"us","title":"plain"}','2026-11-22T08:31:39.090334+00:00');
CREATE INDEX infrastructure_failures_of_a_run ON infrastructure_failures (run_id, fold);
CREATE INDEX scorings_of_a_run ON scorings (run_id);
CREATE TRIGGER schema_version_no_update BEFORE UPDATE ON schema_version BEGIN SELECT RAISE(ABORT, 'table schema_version is append-only'); END;
CREATE TRIGGER schema_version_no_delete BEFORE DELETE ON schema_version BEGIN SELECT RAISE(ABORT, 'table schema_version is append-only'); END;
CREATE TRIGGER submissions_no_update BEFORE UPDATE ON submissions BEGIN SELECT RAISE(ABORT, 'table submissions is append-only'); END;
CREATE TRIGGER submissions_no_delete BEFORE DELETE ON submissions BEGIN SELECT RAISE(ABORT, 'table submissions is append-only'); END;
CREATE TRIGGER runs_no_update BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'table runs is append-only'); END;
CREATE TRIGGER runs_no_delete BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'table runs is append-only'); END;
CREATE TRIGGER folds_no_update BEFORE UPDATE ON folds BEGIN SELECT RAISE(ABORT, 'table folds is append-only'); END;
CREATE TRIGGER folds_no_delete BEFORE DELETE ON folds BEGIN SELECT RAISE(ABORT, 'table folds is append-only'); END;
CREATE TRIGGER infrastructure_failures_no_update BEFORE UPDATE ON infrastructure_failures BEGIN SELECT RAISE(ABORT, 'table infrastructure_failures is append-only'); END;
CREATE TRIGGER infrastructure_failures_no_delete BEFORE DELETE ON infrastructure_failures BEGIN SELECT RAISE(ABORT, 'table infrastructure_failures is append-only'); END;
CREATE TRIGGER scorings_no_update BEFORE UPDATE ON scorings BEGIN SELECT RAISE(ABORT, 'table scorings is append-only'); END;
CREATE TRIGGER scorings_no_delete BEFORE DELETE ON scorings BEGIN SELECT RAISE(ABORT, 'table scorings is append-only'); END;
COMMIT;
