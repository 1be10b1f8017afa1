package names

import (
	"reflect"
	"testing"
)

func TestMapOf(t *testing.T) {
	for option, want := range map[string]*OptionMap{
		"idmap":  nil,
		"ridmap": nil,
		"idmap=uids=0-1-10#10-11-10;gids=0-100-10": {[]IDRange{{0, 1, 10, false}, {10, 11, 10, false}}, []IDRange{{0, 100, 10, false}}},
		"ridmap=uids=@1-3-10;gids=4294967295-0-1":  {[]IDRange{{1, 3, 10, true}}, []IDRange{{4294967295, 0, 1, false}}},
	} {
		got, err := MapOf(option)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", option, got, err)
		}
	}
	for _, option := range []string{
		"idmap=", "idmap=uids=", "idmap=uids=0-0-1", "idmap=uids=0-0-1;gids=", "idmap=uids=;gids=0-0-1", "idmap=uids=0-0;gids=0-0-1", "idmap=uids=0-0-1-2;gids=0-0-1",
		"idmap=uids=a-0-1;gids=0-0-1", "idmap=uids=-1-0-1;gids=0-0-1", "idmap=uids=4294967296-0-1;gids=0-0-1", "idmap=uids=@0-0-1#1-1-1;gids=0-0-1",
		"idmap=uids=0-0-1#@1-1-1;gids=0-0-1", "idmap=uids=0-0-1#;gids=0-0-1", "idmap=uids=@@0-0-1;gids=0-0-1",
	} {
		if got, err := MapOf(option); err == nil {
			t.Errorf("%s is %+v", option, got)
		}
	}
}
