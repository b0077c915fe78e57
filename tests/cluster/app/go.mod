module tokend.test/app

go 1.24
