# What prepare.ps1 changes on a Windows, kept in the JSON file $env:PV_MACHINE from one run to the next:
# registry, WSMan configuration, services, certificates (Base64). Loaded behind pwsh_mocks.ps1.
# No answer here was recorded on a Windows: the shapes are those of Microsoft's documentation (guess).

function global:Edit-Machine {
    param([scriptblock] $Change)
    $machine = ConvertFrom-Json -InputObject ([IO.File]::ReadAllText($env:PV_MACHINE))
    & $Change $machine
    [IO.File]::WriteAllText($env:PV_MACHINE, (ConvertTo-Json -InputObject $machine -Depth 6 -Compress))
}

function global:Get-Machine {
    ConvertFrom-Json -InputObject ([IO.File]::ReadAllText($env:PV_MACHINE))
}

function global:Set-MockField {
    param($Object, [string] $Name, $Value)
    $Object | Add-Member -MemberType NoteProperty -Name $Name -Value $Value -Force
}

# An object of certenroll.dll that notes what it was told; only the last one does something.
function global:New-MockEnrollment {
    param([string] $Class)
    if ($Class -in @((Get-Machine).no_classes)) { Stop-Mock 'NoCOMClassIdentified,Microsoft.PowerShell.Commands.NewObjectCommand' 'ResourceUnavailable' 'Klasse nicht registriert' }
    $object = [pscustomobject] @{
        Class = $Class; Said = [Collections.ArrayList]::new(); ProviderName = ''; KeySpec = 0; Length = 0; MachineContext = 0; ExportPolicy = 9
        Subject = $null; Issuer = $null; NotBefore = $null; NotAfter = $null; X509Extensions = [Collections.ArrayList]::new(); HashAlgorithm = $null
    }
    foreach ($method in 'Encode', 'Create', 'InitializeFromValue', 'Add', 'InitializeEncode', 'InitializeFromAlgorithmName', 'InitializeFromPrivateKey', 'InitializeFromRequest') {
        $object | Add-Member -MemberType ScriptMethod -Name $method -Value ([scriptblock]::Create("`$null = `$this.Said.Add(@('$method') + `$args)"))
    }
    $object | Add-Member -MemberType ScriptMethod -Name CreateRequest -Value {
        param($encoding)
        $request = @($this.Said | Where-Object { $_[0] -eq 'InitializeFromRequest' })[0][1]
        $key = @($request.Said | Where-Object { $_[0] -eq 'InitializeFromPrivateKey' })[0]
        $use = $request.X509Extensions[0].Said[0][1].Said[0][1].Said[0][1]
        Write-MockLog @{
            request = $request.Subject.Said[0][1]; self = [object]::ReferenceEquals($request.Subject, $request.Issuer); context = $key[1]
            provider = $key[2].ProviderName; length = $key[2].Length; machine = $key[2].MachineContext; export = $key[2].ExportPolicy
            use = $use; hash = $request.HashAlgorithm.Said[0][4]; days = [int] ($request.NotAfter - $request.NotBefore).TotalDays
        }
        'REQUEST'
    }
    $object | Add-Member -MemberType ScriptMethod -Name InstallResponse -Value {
        param($restrictions, $response, $encoding, $password)
        if ($restrictions -ne 2 -or $response -ne 'REQUEST' -or $encoding -ne 1) { throw 'not what CreateRequest gave' }
        Edit-Machine { param($machine) if ($machine.next_certificate) { $machine.certificates = @($machine.certificates) + $machine.next_certificate } }
    }
    $object
}

$global:PvMocks['New-Object'] = {
    param($bound)
    if ($bound['ComObject']) { return New-MockEnrollment $bound['ComObject'] }
    if ($bound['TypeName'] -notlike '*X509Store') { return Microsoft.PowerShell.Utility\New-Object @bound }
    if (($bound['ArgumentList'] -join ' ') -ne 'My LocalMachine') { throw 'another store' }
    $certificates = @((Get-Machine).certificates | ForEach-Object { [Security.Cryptography.X509Certificates.X509Certificate2]::new([Convert]::FromBase64String($_)) })
    $store = [pscustomobject] @{ Certificates = $certificates }
    foreach ($method in 'Open', 'Close') { $store | Add-Member -MemberType ScriptMethod -Name $method -Value { } }
    $store
}
$global:PvMocks['Test-Path'] = { param($bound) $null -ne (Get-MockField (Get-Machine).registry (Get-MockKey $bound)) }
$global:PvMocks['Get-ItemProperty'] = { param($bound) Get-MockField (Get-Machine).registry (Get-MockKey $bound) }
$global:PvMocks['New-ItemProperty'] = {
    param($bound)
    $key = Get-MockKey $bound
    Write-MockLog @{ key = $key; name = $bound['Name']; value = $bound['Value']; type = $bound['PropertyType'] }
    Edit-Machine { param($machine) Set-MockField (Get-MockField $machine.registry $key) $bound['Name'] $bound['Value'] }
}
$global:PvMocks['Set-Service'] = {
    param($bound)
    Edit-Machine { param($machine) Set-MockField $machine.services $bound['Name'] ([string] $bound['StartupType']) }
}
$global:PvMocks['Start-Service'] = {
    param($bound)
    Edit-Machine { param($machine) $machine.started = @($bound['Name']) }
}
$global:PvMocks['Get-WSManInstance'] = {
    param($bound)
    $machine = Get-Machine
    if ('WinRM' -notin @($machine.started)) { Stop-Mock 'WsManError,Microsoft.WSMan.Management.GetWSManInstanceCommand' 'InvalidOperation' 'Der Dienst antwortet nicht' }
    if ($bound.ContainsKey('Enumerate')) { return $machine.listeners }
    $machine.winrs
}
$global:PvMocks['New-WSManInstance'] = {
    param($bound)
    Write-MockLog @{ created = [string] $bound['ResourceURI']; values = $bound['ValueSet']; selectors = $bound['SelectorSet'] }
    Edit-Machine { param($machine) $machine.listeners = @($machine.listeners) + [pscustomobject] ($bound['ValueSet'] + $bound['SelectorSet']) }
}
$global:PvMocks['Set-WSManInstance'] = {
    param($bound)
    Write-MockLog @{ changed = [string] $bound['ResourceURI']; values = $bound['ValueSet']; selectors = $bound['SelectorSet'] }
    Edit-Machine {
        param($machine)
        $target = $(if ($bound['SelectorSet']) { @($machine.listeners | Where-Object { $_.Transport -eq $bound['SelectorSet'].Transport })[0] } else { $machine.winrs })
        foreach ($name in $bound['ValueSet'].Keys) { Set-MockField $target $name $bound['ValueSet'][$name] }
    }
}
