module native/influxdb

go 1.25

require (
	github.com/influxdata/influxdb/v2 v2.8.0
	github.com/influxdata/pkg-config v0.2.14
)
