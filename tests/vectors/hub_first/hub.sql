-- The hub database of a hub of the first release (schema as in PRAGMA user_version), made for tests: its keys are nobody's.
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO "about" VALUES('host_name','localhost');
INSERT INTO "about" VALUES('id_scope','0ne1D9A3BDC');
INSERT INTO "about" VALUES('continuation_key','au16Iez2gHZucMuslR4aPSAda27f0DaIpJ8tGI2WVMQ=');
CREATE TABLE commands (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        device TEXT NOT NULL,
        module TEXT NOT NULL DEFAULT '' CHECK (module = ''),
        enqueued TEXT NOT NULL,
        expires TEXT NOT NULL,
        deliveries INTEGER NOT NULL DEFAULT 0,
        ack TEXT NOT NULL,
        properties TEXT NOT NULL,
        system TEXT NOT NULL,
        body BLOB NOT NULL,
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT;
CREATE TABLE configuration_states (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        configuration TEXT NOT NULL,
        status TEXT NOT NULL,
        PRIMARY KEY (device, module, configuration),
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
INSERT INTO "configuration_states" VALUES('dev','','cool','Applied');
CREATE TABLE configurations (
        id TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        etag TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO "configurations" VALUES('cool','{"schemaVersion": "2.0", "labels": {}, "content": {"deviceContent": {"properties.desired.cool": {"t": 5}}}, "targetCondition": "tags.room = ''a''", "priority": 3, "metrics": {"queries": {}}}','2026-11-23T18:47:41.539119Z','2026-11-23T18:47:41.539119Z','PQaRsg65ofj6');
CREATE TABLE configured (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (device, module),
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
INSERT INTO "configured" VALUES('dev','','5411a56014179460fe8b3880f363b79950b2096d0fb5db84b7dfa1704489c688');
CREATE TABLE device_jobs (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        device TEXT NOT NULL,
        status TEXT NOT NULL,
        started TEXT,
        ended TEXT,
        updated TEXT NOT NULL,
        outcome TEXT,
        PRIMARY KEY (job, device)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE enrollments (
        kind TEXT NOT NULL CHECK (kind IN ('individual', 'group')),
        id TEXT NOT NULL COLLATE NOCASE,
        document TEXT NOT NULL,
        primary_key TEXT NOT NULL,
        secondary_key TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        etag TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "enrollments" VALUES('individual','press-1','{"registrationId":"press-1","deviceId":null,"attestation":{"type":"symmetricKey"},"capabilities":{"iotEdge":false},"initialTwin":{"tags":{},"properties":{"desired":{}}},"provisioningStatus":"enabled","reprovisionPolicy":{"updateHubAssignment":true,"migrateDeviceData":true},"allocationPolicy":"hashed","iotHubs":[],"optionalDeviceInformation":null,"createdDateTimeUtc":"2026-11-23T18:47:41.555697Z","lastUpdatedDateTimeUtc":"2026-11-23T18:47:41.555697Z","etag":"IFGotFLi6WHo"}','YCBo5V9FsNkX2ULv6BydFOwSt4xcu0J3vII0hJrnO6M=','xjkGXw2YC2vV+IIDcoNU6hMmhkEaWp+fqY6K3nU/7GE=','2026-11-23T18:47:41.555697Z','2026-11-23T18:47:41.555697Z','IFGotFLi6WHo');
CREATE TABLE feedback (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        expires TEXT NOT NULL,
        deliveries INTEGER NOT NULL DEFAULT 0,
        record TEXT NOT NULL
    ) STRICT;
CREATE TABLE identities (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        generation TEXT NOT NULL,
        etag TEXT NOT NULL,
        status TEXT NOT NULL,
        status_reason TEXT,
        status_updated TEXT NOT NULL,
        auth_type TEXT NOT NULL,
        primary_key TEXT NOT NULL,
        secondary_key TEXT NOT NULL,
        primary_thumbprint TEXT NOT NULL,
        secondary_thumbprint TEXT NOT NULL,
        iot_edge INTEGER NOT NULL,
        device_scope TEXT NOT NULL,
        parent_scopes TEXT NOT NULL,
        managed_by TEXT NOT NULL,
        connection_updated TEXT NOT NULL,
        last_activity TEXT NOT NULL,
        PRIMARY KEY (device, module)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "identities" VALUES('dev','','419105784694929434','S96A3LctoV2s','enabled',NULL,'0001-01-01T00:00:00Z','sas','b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=','b2xkLWtleS1vbGQta2V5LW9sZC1rZXktb2xkLWtleS0=','','',0,'','[]','','2026-11-23T18:47:42.607857Z','2026-11-23T18:47:42.607857Z');
INSERT INTO "identities" VALUES('dev','mod','276925962858756662','Av/J/gwZmxeL','enabled',NULL,'2026-11-23T18:47:41.521444Z','sas','7hTfJ91m7pYrGmflcb0UGMqjhrBAp2ojgb5fUUQxG4M=','qLUpKWqW57AbCW9Lr9kCu794vcSkcfzSJPIKNQWEPaA=','','',0,'','[]','','0001-01-01T00:00:00Z','0001-01-01T00:00:00Z');
INSERT INTO "identities" VALUES('edge','','579630659853113162','uuHt7alGhGTO','enabled',NULL,'0001-01-01T00:00:00Z','sas','wxuX2eQjEPUmw0cBiDwYeXK02jM2vUmn4d9zUw5lZnk=','N7N3TLHfurk22vWW0Rw5TuJYnrZxyBJt52Vy2hw4znw=','','',1,'ms-azure-iot-edge://edge-579630659853113162','[]','','0001-01-01T00:00:00Z','0001-01-01T00:00:00Z');
INSERT INTO "identities" VALUES('edge','$edgeAgent','256167847626510093','UjUhW3ks50DR','enabled',NULL,'2026-11-23T18:47:41.514739Z','sas','+K8bQUcBe/9/Dl7CDA+ya+87qxN1JNTXfCvdBKV12JM=','5svygqkD+wPNl+08+A8HnSnfDT1gx3DteCo2Qtt5sts=','','',0,'','[]','','0001-01-01T00:00:00Z','0001-01-01T00:00:00Z');
INSERT INTO "identities" VALUES('edge','$edgeHub','547308961158123731','RO+wtgpmEuAL','enabled',NULL,'2026-11-23T18:47:41.514739Z','sas','LK32ZDwTtct9Hk+nxtssHwKoBCK+OZwzDdlZBpNr4C8=','iMHhEsvB313sf6j/dYyVBrtgv2R0ZabUXvQ0mHs8OfY=','','',0,'','[]','','0001-01-01T00:00:00Z','0001-01-01T00:00:00Z');
CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        status TEXT NOT NULL,
        document TEXT NOT NULL,
        created TEXT NOT NULL,
        starts TEXT NOT NULL,
        started TEXT,
        ended TEXT,
        reason TEXT
    ) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
        name TEXT PRIMARY KEY, primary_key TEXT NOT NULL, secondary_key TEXT NOT NULL
    ) STRICT;
INSERT INTO "policies" VALUES('iothubowner','dzLDjOezzeSA0DinOLJCoesdQU8+aIgBLYM4LWJE09c=','GQLssWNgOuXgpSTHnqypiHHrKXudxXfan9c4lqz9WEI=');
INSERT INTO "policies" VALUES('service','sJ0oPK8VUDPq23GtoMuLkiaAlDcoHl9Ya5R7yE0mcR0=','+5YB7TaSApSrEJFcTsPGg0lBOPLSt1NhYKqkkaCDXp0=');
INSERT INTO "policies" VALUES('device','5/0SRSWw64WPVH0oBTXHxucnQq7N/XKg9qyNzFVdV8Q=','IgYf9C8vkyfW1zu9+ir0dv85U/CXfbC2vxpcPG9lHO4=');
INSERT INTO "policies" VALUES('registryRead','XNzYXdc4fS6OCCFkr1ctBssJqpVHh7R3cAEF4MGp49E=','+W3J4fff4fMv8Dd9BQ7FNPcuf5KQ1Dm4fq7krKnODbQ=');
INSERT INTO "policies" VALUES('registryReadWrite','VmAd90EgyVm5SX7wHdLMZlU2CiQZthsJuo7+Urn3eo4=','mt6963yfXhbs/9Ifhj2z9ok/MQur/o5Phmw0MyD8Ias=');
INSERT INTO "policies" VALUES('provisioningserviceowner','EVrRu3UZuh8mzZDSD/WEne/2pFd0SkS3S1J7gGDmIao=','44f9UCrvIyBXy/1taP9VI2SrElOq4+CcmbRAC36r27Y=');
CREATE TABLE registrations (
        id TEXT PRIMARY KEY COLLATE NOCASE,
        enrollment_group TEXT NOT NULL COLLATE NOCASE,
        operation TEXT NOT NULL,
        device TEXT NOT NULL,
        status TEXT NOT NULL,
        substatus TEXT NOT NULL,
        error_code INTEGER,
        error_message TEXT,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        etag TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
CREATE TABLE subscriptions (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        filter TEXT NOT NULL,
        qos INTEGER NOT NULL,
        PRIMARY KEY (device, module, filter)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "subscriptions" VALUES('dev','','$iothub/twin/res/#',1);
CREATE TABLE twins (
        device TEXT NOT NULL,
        module TEXT NOT NULL,
        tags TEXT NOT NULL,
        desired TEXT NOT NULL,
        desired_metadata TEXT NOT NULL,
        desired_version INTEGER NOT NULL,
        reported TEXT NOT NULL,
        reported_metadata TEXT NOT NULL,
        reported_version INTEGER NOT NULL,
        version INTEGER NOT NULL,
        etag TEXT NOT NULL,
        PRIMARY KEY (device, module),
        FOREIGN KEY (device, module) REFERENCES identities (device, module) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
INSERT INTO "twins" VALUES('dev','','{"room":"a"}','{"interval":5,"cool":{"t":5}}','{"$lastUpdated":"2026-11-23T18:47:41.547825Z","$lastUpdatedVersion":3,"interval":{"$lastUpdated":"2026-11-23T18:47:41.528423Z","$lastUpdatedVersion":2},"cool":{"$lastUpdated":"2026-11-23T18:47:41.547825Z","$lastUpdatedVersion":3,"t":{"$lastUpdated":"2026-11-23T18:47:41.547825Z","$lastUpdatedVersion":3}}}',3,'{"led":{"on":true}}','{"$lastUpdated":"2026-11-23T18:47:41.579688Z","$lastUpdatedVersion":2,"led":{"$lastUpdated":"2026-11-23T18:47:41.579688Z","$lastUpdatedVersion":2,"on":{"$lastUpdated":"2026-11-23T18:47:41.579688Z","$lastUpdatedVersion":2}}}',2,3,'/Hqb81Lw0i7N');
INSERT INTO "twins" VALUES('dev','mod','{}','{}','{"$lastUpdated":"2026-11-23T18:47:41.521444Z","$lastUpdatedVersion":1}',1,'{}','{"$lastUpdated":"2026-11-23T18:47:41.521444Z","$lastUpdatedVersion":1}',1,1,'EPxHuvTH2wN7');
INSERT INTO "twins" VALUES('edge','','{}','{}','{"$lastUpdated":"2026-11-23T18:47:41.514739Z","$lastUpdatedVersion":1}',1,'{}','{"$lastUpdated":"2026-11-23T18:47:41.514739Z","$lastUpdatedVersion":1}',1,1,'y21fzm1nDDw7');
INSERT INTO "twins" VALUES('edge','$edgeAgent','{}','{}','{"$lastUpdated":"2026-11-23T18:47:41.514739Z","$lastUpdatedVersion":1}',1,'{}','{"$lastUpdated":"2026-11-23T18:47:41.514739Z","$lastUpdatedVersion":1}',1,1,'lOsFGQHkbU9W');
INSERT INTO "twins" VALUES('edge','$edgeHub','{}','{}','{"$lastUpdated":"2026-11-23T18:47:41.514739Z","$lastUpdatedVersion":1}',1,'{}','{"$lastUpdated":"2026-11-23T18:47:41.514739Z","$lastUpdatedVersion":1}',1,1,'OScHMjDqcuuL');
CREATE INDEX commands_by_device ON commands (device, module, sequence);
CREATE INDEX states_by_configuration ON configuration_states (configuration, status);
CREATE INDEX registrations_by_group ON registrations (enrollment_group, id);
DELETE FROM "sqlite_sequence";
COMMIT;
